"""Rare terms in sentences, spoken by synthetic voices, and what sounds like them. No model has to know the terms.

apt-get install espeak-ng festival festvox-ru
"""

from __future__ import annotations

import io
import subprocess
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from gigastt.audio.pcm import SAMPLE_RATE, Samples

ESPEAK_VOICES = ("ru", "ru+f2", "ru+m3")
FESTIVAL_VOICE = "msu_ru_nsh"

# term | sentence with it, often in another form | one with a word that sounds like it (or nothing)
_TABLE = """
Кутузов | Позвоните Кутузову вечером. | Позвоните картузу вечером.
Достоевский | Мы читали Достоевского весь день. | Мы читали до твоевского весь день.
Шереметьево | Самолёт прилетает в Шереметьево утром. | Самолёт прилетает, шерсть летела утром.
Амлодипин | Врач выписал амлодипин на месяц. | Врач выписал один блин на месяц.
Метформин | Принимайте метформин после еды. | Принимайте метр форму после еды.
Ибупрофен | В аптеке закончился ибупрофен. | В аптеке закончился профиль.
Сколково | Офис находится в Сколково. | Офис находится около.
Балашиха | Поезд идёт до Балашихи. | Поезд идёт до большой шихты.
Раменское | Доставка в Раменское завтра. | Доставка в рамочное завтра.
Кубернетес | Мы запустили кубернетес вчера. | Мы запустили кабинет вчера.
Грузоперевозки | Нужны грузоперевозки по городу. | Нужны перевозки по городу.
Ипотека | Какая ипотека у вас сейчас? | Какая аптека у вас сейчас?
Рефинансирование | Нам нужно рефинансирование кредита. | Нам нужно финансирование кредита.
Эквайринг | Подключите эквайринг магазину. | Подключите экран магазину.
Овердрафт | Банк одобрил овердрафт клиенту. | Банк одобрил обед клиенту.
Страхование | Оформите страхование автомобиля. | Оформите старание автомобиля.
Гастроэнтеролог | Запишите меня к гастроэнтерологу. | Запишите меня к гостю.
Отоларинголог | Приём ведёт отоларинголог. | Приём ведёт то ли логик.
Электрокардиограмма | Сделайте электрокардиограмму сегодня. | Сделайте электрическую программу сегодня.
Тонометр | Купите новый тонометр бабушке. | Купите новый термометр бабушке.
Глюкометр | Мой глюкометр сломался. | Мой километр сломался.
Микроволновка | Сломалась микроволновка на кухне. | Сломалась микро лодка на кухне.
Кондиционер | Установите кондиционер в комнате. | Установите кондитера в комнате.
Посудомойка | Посудомойка не включается. | По суду мойка не включается.
Аккумулятор | Замените аккумулятор в машине. | Замените калькулятор в машине.
Карбюратор | Проверьте карбюратор перед поездкой. | Проверьте коробку перед поездкой.
Шиномонтаж | Где находится шиномонтаж? | Где находится монтаж?
Криптовалюта | Он купил криптовалюту зимой. | Он купил валюту зимой.
Блокчейн | Расскажите про блокчейн подробнее. | Расскажите про блок подробнее.
Нейросеть | Нейросеть написала письмо. | На рассвет написала письмо.
Роутер | Перезагрузите роутер дома. | Перезагрузите рот дома.
Видеокарта | Видеокарта стоит дорого. | Видео и карта стоит дорого.
Антивирус | Обновите антивирус на компьютере. | Обновите анти вес на компьютере.
Хабаровск | Поезд из Хабаровска опоздал. | Поезд из коробки опоздал.
Екатеринбург | Я живу в Екатеринбурге давно. | Я живу в катере давно.
Калининград | Билеты до Калининграда дорогие. | Билеты до калины града дорогие.
Нижневартовск | Погода в Нижневартовске плохая. | Погода в нижнем ряду плохая.
Сыктывкар | Рейс в Сыктывкар задержан. | Рейс в сектор задержан.
Магнитогорск | Завод в Магнитогорске работает. | Завод в магните горько работает.
Добролюбов | Улица Добролюбова закрыта. | Улица добра закрыта.
Салтыков | Говорит Салтыков из отдела. | Говорит сол тыков из отдела.
Ломоносов | Меня зовут Ломоносов Иван. | Меня зовут лом носок Иван.
Пирогов | Доктор Пирогов принимает сегодня. | Доктор пирог принимает сегодня.
Бурденко | Клиника имени Бурденко закрыта. | Клиника имени бурного закрыта.
Преображенская | Встретимся на Преображенской площади. | Встретимся на преображённой площади.
Новослободская | Станция Новослободская открыта. | Станция новая слобода открыта.
Красная Пахра | Мы едем в Красную Пахру. | Мы едем в красную пору.
Нижний Тагил | Посылка из Нижнего Тагила. | Посылка из нижнего тогда.
Старый Оскол | Машина едет в Старый Оскол. | Машина едет в старый осколок.
Сергиев Посад | Экскурсия в Сергиев Посад завтра. | Экскурсия в Сергей посадку завтра.
"""


# Terms that none of the recordings has in which nothing of the kind may be found.
_OTHERS = """
Амоксициллин, Парацетамол, Азитромицин, Ксарелто, Эналаприл, Омепразол, Левотироксин, Бисопролол, Аторвастатин, Нурофен,
Юрий Гагарин, Валентина Терешкова, Лев Яшин, Анна Ахматова, Осип Мандельштам, Марина Цветаева, Иван Бунин,
Николай Гумилёв, Альметьевск, Петрозаводск, Йошкар-Ола,
 Благовещенск, Комсомольск-на-Амуре, Горно-Алтайск, Нальчик, Махачкала, Элиста,
Газпромбанк, Совкомбанк, Росгосстрах, Ингосстрах, Магнит, Пятёрочка, Перекрёсток, Ситилинк, Эльдорадо, Озон, Авито,
Докер, Постгрес, Линукс, Андроид, Телеграм, Вотсап, Зум, Битрикс, Джира, Гитхаб, Питон, Опенсорс
"""


@dataclass(frozen=True, slots=True)
class Term:
    """A term, a sentence with it, and one with something else."""

    phrase: str
    sentence: str
    other: str


TERMS = tuple(Term(*(part.strip() for part in line.split("|"))) for line in _TABLE.strip().splitlines())


UNRELATED = (*(term.phrase for term in TERMS), *(phrase.strip() for phrase in _OTHERS.split(",")))


def speak(texts: list[str]) -> list[Samples]:
    """Return each text by every voice, 16 kHz: all of the first text, then of the second …"""
    festival = _festival(texts)
    return [
        samples
        for number, text in enumerate(texts)
        for samples in (*(_espeak(text, voice) for voice in ESPEAK_VOICES), festival[number])
    ]


def _espeak(text: str, voice: str) -> Samples:
    command = ["espeak-ng", "-v", voice, "-s", "150", "-w", "/dev/stdout", text]
    return _read(subprocess.run(command, capture_output=True, check=True).stdout)


def _festival(texts: list[str]) -> list[Samples]:
    """Speak all texts in one process: loading the voice takes longer than a sentence."""
    with tempfile.TemporaryDirectory() as folder:
        define = "(define (go txt out) (utt.save.wave (utt.synth (eval (list 'Utterance 'Text txt))) out 'riff))"
        says = [f'(go "{text}" "{folder}/{number}.wav")' for number, text in enumerate(texts)]
        script = Path(folder) / "batch.scm"
        script.write_text("\n".join([f"(voice_{FESTIVAL_VOICE}_clunits)", define, *says]), encoding="utf-8")
        subprocess.run(["festival", "-b", str(script)], check=True, capture_output=True)
        return [_read((Path(folder) / f"{number}.wav").read_bytes()) for number in range(len(texts))]


def _read(data: bytes) -> Samples:
    """Return a WAV file's samples; espeak-ng writes to a pipe and so knows no sizes."""
    with wave.open(io.BytesIO(data)) as file:
        rate = file.getframerate()
    pcm = data[44 : len(data) - len(data) % 2]
    samples = np.frombuffer(pcm, "<i2")
    if rate != SAMPLE_RATE:
        samples = soxr.resample(samples, rate, SAMPLE_RATE)
    return np.concatenate((np.zeros(SAMPLE_RATE // 4, np.int16), samples, np.zeros(SAMPLE_RATE // 4, np.int16)))
