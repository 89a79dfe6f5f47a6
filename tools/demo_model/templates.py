"""Sentence templates: commands to assistants, questions, numbers, dates, prices, stories and small talk.

`TemplateGrammar(seed).sentence()` draws one sentence after the other, always the same ones for a seed. A rule
draws its random numbers in a fixed order: whoever changes a template changes every later sentence of a seed,
and so the clips that the demo model was trained and tested on.
"""

from __future__ import annotations

import re

from tools.demo_model.grammar import TemplateFiller
from tools.demo_model.numerals import cardinal, ordinal
from tools.demo_model.words import WORD_LISTS

_RUBLE = ("рубль", "рубля", "рублей")
_CURRENCIES = (_RUBLE, _RUBLE, _RUBLE, ("доллар", "доллара", "долларов"), ("тенге", "тенге", "тенге"))


class TemplateGrammar:
    """Random hand-written sentences, capitalised and punctuated."""

    def __init__(self, seed: int) -> None:
        self._filler = TemplateFiller(seed)
        self._random = self._filler.random
        self._rules = (
            *((9, self._device), (8, self._television), (7, self._shop), (6, self._alarm), (7, self._weather)),
            *((6, self._call), (7, self._number), (6, self._date), (6, self._price), (5, self._route)),
            *((6, self._story), (6, self._see), (4, self._ask), (4, self._dialogue), (3, self._small_talk)),
            *((5, self._cook), (4, self._infinitive), (4, self._person), (4, self._phone), (4, self._year)),
            *((5, self._digits), (4, self._sum), (3, self._topic)),
        )

    def sentence(self) -> str:
        """Draw one sentence."""
        weights = [weight for weight, _ in self._rules]
        rule = self._random.choices([rule for _, rule in self._rules], weights)[0]
        text = re.sub(r"\s+", " ", rule()).strip()
        return text[0].upper() + text[1:]

    # -- requests

    def _device(self) -> str:
        roll, device = self._random.random(), self._filler.pick("DEVICES")
        if roll < 0.45:
            request = self._filler.fill("{SWITCHES} <device> {ROOMS}", device=device)
        elif roll < 0.6:
            request = self._filler.fill("{SWITCHES} <device> и {SWITCHES} {DEVICES} {ROOMS}", device=device)
        elif roll < 0.75:
            request = self._filler.fill(
                "{установи|сделай|поставь} {яркость|громкость|температуру} {на|до} {#cardinal 1 101}"
            )
        elif roll < 0.87:
            request = self._filler.fill("{открой|закрой} {шторы|жалюзи|окно|ворота|дверь} {ROOMS}")
        else:
            return self._filler.fill(
                "{выключен ли|включён ли|работает ли} "
                "{свет|телевизор|кондиционер|обогреватель|чайник|вентилятор} {ROOMS}?"
            )
        return self._filler.polite(request)

    def _television(self) -> str:
        roll = self._random.random()
        if roll < 0.25:
            request = self._filler.fill("{включи|покажи|найди|поставь|запусти|ищи} {GENRES}")
            if self._random.random() < 0.5:
                request += self._filler.fill(" {#ordinal 1 30 ый} сезон {|{#ordinal 1 25 ая} серия}").rstrip()
        elif roll < 0.5:
            request = self._filler.fill(
                "{включи|покажи|найди|хочу посмотреть|поставь} {|фильм |сериал |мультик }{TITLES}"
            )
        elif roll < 0.75:
            request = self._filler.fill("{переключи на|включи|открой|покажи} {|канал |телеканал }{CHANNELS}")
        elif roll < 0.9:
            year = ordinal(self._random.randrange(1, 25), "ого")
            request = self._filler.fill("{найди|посоветуй|покажи} {GENRES} две тысячи <year> года", year=year)
        else:
            request = self._filler.fill("перемотай {вперёд|назад} на {#cardinal 2 60 f} {секунд|минут}")
        return self._filler.polite(request)

    def _shop(self) -> str:
        roll = self._random.random()
        if roll < 0.35:
            items = self._random.sample(WORD_LISTS["FOOD"], self._random.randrange(2, 5))
            listed = f"{', '.join(items[:-1])} и {items[-1]}"
            request = self._filler.fill(
                "{купи|закажи|добавь в корзину|добавь в список|нужно купить} <items>", items=listed
            )
        elif roll < 0.6:
            request = self._filler.fill("{купи|закажи|хочу купить|найди|заказать|ищу} ")
            # Two draws that decide nothing: they were there when the model was trained.
            self._random.random()
            self._random.choice([""])
            request += self._filler.fill("{GOODS+FOOD}")
        elif roll < 0.8:
            request = self._filler.fill("закажи {FOOD} с доставкой {WHEN}")
        else:
            return self._filler.fill(
                "{где можно купить|сколько стоит доставить|у вас можно заказать|когда привезут} {GOODS+FOOD}?"
            )
        return self._filler.polite(request)

    def _alarm(self) -> str:
        roll = self._random.random()
        if roll < 0.4:
            request = self._filler.fill("{поставь|заведи|установи} будильник на {#time}")
        elif roll < 0.7:
            minutes = self._filler.counted(self._random.randrange(2, 60), "минуту", "минуты", "минут", feminine=True)
            request = self._filler.fill("{поставь|запусти} таймер на <minutes>", minutes=minutes)
        else:
            request = self._filler.fill("напомни {WHEN} {INFINITIVES} {|{OBJECTS}}").rstrip()
        return self._filler.polite(request)

    def _call(self) -> str:
        roll = self._random.random()
        if roll < 0.4:
            request = self._filler.fill("{позвони|набери|отправь сообщение|напиши|перезвони} {RECIPIENTS}")
            if self._random.random() < 0.4:
                request += self._filler.fill(" {WHEN}")
        elif roll < 0.7:
            request = self._filler.fill(
                "напиши {RECIPIENTS}, что {я опоздаю|встреча переносится|я уже выехал|всё готово|мы ждём гостей|"
                "документы подписаны|поезд задержали|я на совещании} {|{WHEN}}"
            ).rstrip()
        else:
            request = self._filler.fill(
                "{моя фамилия|меня зовут|соедините с отделом, где работает|говорит|на связи} {GIVEN_NAMES} {SURNAMES}"
            )
        return self._filler.polite(request)

    def _route(self) -> str:
        roll = self._random.random()
        if roll < 0.4:
            return self._filler.polite(
                self._filler.fill(
                    "{построй маршрут|вызови такси|купи билет|найди рейс|закажи билет} от {CITIES_OF} до {CITIES_OF}"
                )
            )
        if roll < 0.7:
            return self._filler.fill(
                "{сколько ехать|как добраться|какое расстояние|сколько лететь|сколько стоит билет} "
                "{|на машине |на поезде |на автобусе }до {CITIES_OF}?"
            )
        metres = cardinal(self._random.randrange(2, 40) * 50)
        return self._filler.fill(
            "через <metres> метров поверните {направо|налево}, затем {держитесь правее|держитесь левее|прямо|"
            "развернитесь|сверните к {мосту|вокзалу|парку|рынку|реке}}.",
            metres=metres,
        )

    def _cook(self) -> str:
        if self._random.random() < 0.5:
            return self._filler.polite(
                self._filler.fill("{найди рецепт|расскажи рецепт|покажи рецепт|хочу рецепт} {DISHES_OF}")
            )
        grams = self._filler.counted(self._random.randrange(2, 20) * 50, "грамм", "грамма", "граммов")
        return self._filler.fill(
            "{добавьте|возьмите|положите|нарежьте|смешайте} <grams>, затем "
            "{варите|жарьте|запекайте|тушите|охлаждайте} {FOOD} {#cardinal 5 60 f} минут.",
            grams=grams,
        )

    # -- numbers

    def _weather(self) -> str:
        if self._random.random() < 0.35:
            return self._filler.fill(
                "{какая погода|будет ли дождь|сколько градусов|какая температура|ожидается ли снег|"
                "какой прогноз погоды} {WHEN} в {CITIES_IN}?"
            )
        degrees = self._filler.counted(self._random.randrange(1, 36), "градус", "градуса", "градусов")
        sky = self._filler.fill(
            "{ясно|пасмурно|облачно|небольшой дождь|сильный снег|туман|гроза|метель|без осадков|солнечно}"
        )
        return self._filler.fill(
            "{WHEN} в {CITIES_IN} <sky>, {|минус |плюс |около нуля, ветер до }<degrees>.", sky=sky, degrees=degrees
        )

    def _number(self) -> str:
        limits = (100, 1000, 10_000, 1_000_000)
        number = self._random.choice([self._random.randrange(limit) for limit in limits])
        kind = self._random.randrange(5)
        words = cardinal(number)
        if kind == 0:
            return self._filler.fill(
                "{номер заказа|код подтверждения|номер договора|комната|квартира|дом|рейс|поезд номер|страница|статья} "
                "<words>.",
                words=words,
            )
        if kind == 1:
            things = self._filler.fill("{человек|страниц|километров|килограммов|штук|деталей|билетов|жителей}")
            return self._filler.fill(
                "{всего|примерно|ровно|больше чем|не меньше|осталось|нужно} <words> <things>.",
                words=cardinal(max(5, number // 5 * 5)),
                things=things,
            )
        if kind == 2:
            return f"{words}."
        if kind == 3:
            percent = self._filler.counted(self._random.randrange(1, 100), "процент", "процента", "процентов")
            return self._filler.fill(
                "{скидка|рост составил|заряд|выполнено|готово на|доля рынка} <percent>.", percent=percent
            )
        years = self._filler.counted(self._random.randrange(5, 90), "год", "года", "лет")
        return self._filler.fill("{NOUNS} {PLACES} стоит <years>.", years=years)

    def _digits(self) -> str:
        digits = [self._filler.cardinal(0, 10) for _ in range(self._random.randrange(3, 8))]
        head = self._filler.fill("{||код |пароль |набери |мой номер |запиши }")
        return head + self._filler.fill("{ |, }").join(digits) + "."

    def _phone(self) -> str:
        groups = [self._filler.cardinal(low, high) for low, high in ((900, 1000), (100, 1000), (10, 100), (10, 100))]
        return self._filler.fill(
            "{позвоните по номеру|мой телефон|номер телефона|запишите номер} восемь <groups>.", groups=" ".join(groups)
        )

    def _date(self) -> str:
        day, month = self._random.randrange(1, 32), self._filler.pick("MONTHS")
        roll = self._random.random()
        genitive = f"{ordinal(day, 'ого')} {month}"
        accusative = f"{ordinal(day, 'ое')} {month}" if day % 10 != 3 else genitive
        if roll < 0.35:
            return self._filler.fill(
                "{встреча|праздник|экзамен|концерт|собрание|вылет|отпуск|день рождения} <date> в {#time}.",
                date=genitive,
            )
        if roll < 0.6:
            return self._filler.fill("{сегодня|завтра|вчера было} <date>.", date=accusative)
        if roll < 0.8:
            return self._filler.fill("что {было|будет|запланировано|произошло} <date>?", date=genitive)
        return self._filler.fill(
            "{запиши меня к врачу|забронируй столик|купи билет|перенеси встречу|закажи такси} на <date>.",
            date=accusative,
        )

    def _year(self) -> str:
        year = self._random.randrange(1, 100)
        century = self._filler.fill("{тысяча девятьсот|две тысячи|тысяча восемьсот}")
        if century == "две тысячи":
            year = 1 + year % 30
        return self._filler.fill(
            "{это случилось|он родился|она приехала сюда|дом построили|книгу написали|компанию основали|"
            "город основали|мост открыли} в <year> году{| {PLACES}}.",
            year=f"{century} {ordinal(year, 'ом')}",
        )

    def _price(self) -> str:
        draw = self._random.randrange
        amount = self._random.choice([draw(10, 100), draw(100, 1000), draw(10, 100) * 100, draw(1000, 100_000)])
        price = self._filler.counted(amount, *self._random.choice(_CURRENCIES))
        roll = self._random.random()
        if roll < 0.5:
            return self._filler.fill(
                "{это стоит|с вас|итого|цена билета|переведи|счёт на сумму|стоимость ремонта|зарплата|скидка|"
                "перевод на} <price>.",
                price=price,
            )
        if roll < 0.75:
            return self._filler.fill("{купить|найти|заказать} {GOODS} до <price>.", price=price)
        return self._filler.fill("<price> за {GOODS+FOOD}, {не дорого ли|правильно|верно|согласны}?", price=price)

    def _sum(self) -> str:
        left, right = self._filler.cardinal(2, 200), self._filler.cardinal(2, 200)
        return self._filler.fill(
            "сколько будет <left> {плюс|минус|умножить на|разделить на} <right>?", left=left, right=right
        )

    # -- stories and talk

    def _story(self) -> str:
        roll = self._random.random()
        adjective, noun, verb = (self._filler.pick(name) for name in ("ADJECTIVES", "NOUNS", "PAST_VERBS"))
        if roll < 0.4:
            template = "{ADVERBS} <adjective> <noun> <verb> {PLACES}."
        elif roll < 0.7:
            template = (
                "<adjective> <noun> <verb> {ADVERBS}, {но|а|и|потому что|хотя|когда|пока} "
                "{ADJECTIVES} {NOUNS} {PAST_VERBS} {PLACES}."
            )
        elif roll < 0.85:
            template = "какой <adjective> <noun>!"
        else:
            template = "{QUESTIONS} <adjective> <noun> <verb> {PLACES}?"
        return self._filler.fill(template, adjective=adjective, noun=noun, verb=verb)

    def _see(self) -> str:
        if self._random.random() < 0.6:
            return self._filler.fill("{SUBJECTS} {OBJECTS} {PLACES}{.|.|.|!|?}")
        return self._filler.fill("{SUBJECTS} {OBJECTS}, {OBJECTS} и {OBJECTS} {ADVERBS}.")

    def _ask(self) -> str:
        return self._filler.fill("{QUESTIONS} {SUBJECTS} {OBJECTS} {ADVERBS}?")

    def _dialogue(self) -> str:
        return self._filler.fill(
            "{{GIVEN_NAMES}, ты {видел|нашёл|купил|потерял|взял} {OBJECTS} {PLACES}?|"
            "нет, {SUBJECTS} {OBJECTS} {ADVERBS}.|"
            "да, {конечно|верно|хорошо|понятно}, встретимся {WHEN} {PLACES}.|"
            "как {хорошо|жаль|странно|интересно|удивительно}, что {NOUNS} {PAST_VERBS}!|"
            "{я думаю|мне кажется|говорят|он считает|понятно}, что {NOUNS} {PAST_VERBS} {ADVERBS}.|"
            "{давай|пора|надо|можно} {INFINITIVES} {WHEN} {PLACES}!}"
        )

    def _small_talk(self) -> str:
        return self._filler.pick("SMALL_TALK")

    def _infinitive(self) -> str:
        first, second = self._random.sample(WORD_LISTS["INFINITIVES"], 2)
        chosen = self._filler.fill(
            "{{я люблю|он умеет|мы начали|они перестали|она хочет|нельзя|пора|трудно|легко|приятно} "
            "<first> и <second> {|{WHEN}|{PLACES}}|"
            "{зачем|когда|где|как|почему лучше} <first>, если {можно|нужно|хочется|лучше|пора} <second>?}",
            first=first,
            second=second,
        )
        return chosen if chosen.endswith("?") else chosen.rstrip() + "."

    def _person(self) -> str:
        return self._filler.fill(
            "{{SURNAMES} {GIVEN_NAMES} {работает здесь как|это|теперь} {PROFESSIONS}.|"
            "{PROFESSIONS} {SURNAMES} {PAST_VERBS} {ADVERBS}.|"
            "мой {сосед|брат|друг|дядя|коллега} {GIVEN_NAMES} "
            "{хороший|опытный|молодой|известный|отличный} {PROFESSIONS}.|"
            "где найти {хороший|недорогой|ближайший} {магазин|ресторан|салон|сервис|банк|отель|музей} в {CITIES_IN}?}"
        )

    def _topic(self) -> str:
        question = self._filler.fill("{какая сейчас|какой сейчас|скажи|подскажите|мне нужен|проверь} {TOPICS}?")
        request = self._filler.polite(self._filler.fill("{расскажи|узнай|сообщи|прочитай} про {OBJECTS} и {OBJECTS}"))
        return self._random.choice([question, request])
