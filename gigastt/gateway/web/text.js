/** What the page says, in the language of the browser. */

const RU = {
  talk: "Говорите", files: "Файлы", start: "Начать запись", stop: "Остановить", finishing: "Завершаем… (ещё раз — прервать)",
  level: "Громкость микрофона", spoken: "Распознанная речь", copy: "Скопировать", copied: "Скопировано",
  saveText: "Скачать текст", newTalk: "Новая запись", sure: "Удалить этот текст навсегда?", connecting: "Соединяемся, ждём места…", open: "На связи",
  lost: "Связь потеряна. Запись продолжается, неотправленное хранится здесь: {0} с", behind: "На связи, догоняем: {0} с",
  done: "", drop: "Перетащите сюда аудио или видео, один файл или несколько, или",
  choose: "Выберите файлы",
  signIn: "Войти", signOut: "Выйти", keyLabel: "Ключ доступа к серверу",
  keyHint: "Ключ меняется на пропуск этой вкладки на 12 часов и нигде не хранится.",
  privacy: "Сервер не хранит ни звука, ни текста. Тексты хранит этот браузер, только на этом устройстве, пока вы их не удалите.",
  api: "Для программ: описание API",
  insecure: "Микрофон выключен: браузер даёт его только страницам по HTTPS или с этого же компьютера, а эта открыта по HTTP из сети. Файлы распознаются и так. Как включить микрофон:",
  insecureLocal: "на самом сервере откройте", insecureTunnel: "с другого компьютера: выполните команду и откройте тот же адрес localhost:",
  insecureProxy: "для всех: запустите сервер с --tls auto (сертификат своего центра; страница покажет, как ему доверять) или с сертификатом (--tls-cert и --tls-key), или поставьте перед ним HTTPS-прокси (готовые настройки nginx, Caddy, HAProxy и других лежат в deploy/proxies).",
  noMicrophone: "Микрофон не дан. Разрешите его этой странице в настройках браузера (значок слева от адреса) и нажмите ещё раз.",
  missingMicrophone: "Микрофон не найден. Подключите его и нажмите ещё раз.", microphoneGone: "Микрофон отключился; записанное распознаётся.",
  microphoneFailed: "Микрофон не запустился: {0}",
  demo: "Это демонстрационная модель: она обучена на синтезированных голосах и живых людей не понимает. Для работы запустите сервер с настоящей моделью.",
  ready: "{0} · готов", notReady: "Сервер ещё не готов: {0}", away: "Сервер не отвечает, пробуем снова…",
  waiting: "В очереди", sending: "Отправлено {0} %", reading: "Разбираем…", working: "{0} из {1}", cancel: "Отменить", delete: "Удалить", again: "Повторить",
  cancelled: "Отменено", ended: "Готово, {0}", nothing: "Речи в файле не нашлось.", missing: "Не распознано: {0}–{1}",
  cannotPlay: "Этот формат браузер проиграть не может; текст от этого не зависит.", playFrom: "Слушать с {0}", downloads: "Скачать",
  audio: "Звук файла", transcript: "Текст файла {0}",
  invalid_audio: "Это не звук, или файл повреждён, или его формат не поддерживается.", audio_too_long: "Запись слишком длинная для этого сервера.",
  payload_too_large: "Файл больше, чем принимает этот сервер.", empty_body: "Файл пуст.", rate_limited: "Слишком много запросов; подождите немного.",
  quota_exceeded: "Ключ исчерпал то, что ему отведено.",
  timeout: "Сервер занят: свободного места не дождались. Попробуйте ещё раз.", shutting_down: "Сервер останавливается.",
  pool_closed: "Сервер останавливается.", unauthorized: "Ключ не подошёл или не указан.", network: "Нет связи с сервером.",
  request_timeout: "Файл передавался слишком долго.", internal: "На сервере произошла ошибка.",
  inference_error: "Кусочек записи не распознался.", segment_failed: "Кусочек записи не распознался.",
  failed: "", talkFailed: "Сервер прервал запись; нераспознанное хранится здесь и уйдёт со следующей записью.", saved: "Сохранённые тексты", deleteAll: "Удалить все", sureAll: "Удалить все сохранённые тексты навсегда?", talkOf: "Запись {0}",
  notKept: "Браузер не даёт ничего сохранить (частное окно или нет места): заберите тексты, прежде чем закрыть страницу.",
  device: "Микрофон", anyDevice: "Как в системе", withTab: "и звук вкладки: второй собеседник", noAudio: "Браузер не запустил звук: ему нужно хоть какое-то устройство вывода.", noTabSound: "Вкладка дана без звука: отметьте «Поделиться звуком» и нажмите ещё раз.",
  muted: "Микрофон молчит: его занял звонок или другая программа, или он выключен. Запись продолжится сама.",
  tabGone: "Вкладка больше не слышна; микрофон записывается дальше.", tabAgain: "Звук вкладки браузер даёт только после нажатия: начните запись снова и выберите вкладку.", ofMicrophone: "Микрофон", ofTab: "Вкладка",
  apart: "различать собеседников", people: "Имена собеседников (можно вписать)", speaker: "Собеседник {0}", nameOf: "Имя: {0}",
  captionsButton: "Титры для зала", captionsHint: "Кто откроет эту ссылку, читает вслед за вами: на экране в зале или на телефоне.",
  linkLocal: "Это адрес этого же компьютера: для телефонов откройте страницу по сетевому адресу сервера.", qrOf: "QR-код ссылки на титры",
  captions: "Титры", smaller: "Мельче", larger: "Крупнее", whole: "Во весь экран", qr: "QR-код", following: "В эфире", over: "Запись окончена",
  notLive: "Запись ещё не началась или уже окончена; ждём…", linkExpired: "Ссылка больше не действует: попросите новую.",
  noSession: "Откройте ссылку, которую даёт кнопка «Титры для зала» у говорящего.",
  preparingTitle: "Сервер готовит модель", toStatus: "Состояние сервера", toPage: "К странице",
  now: "Сейчас", hour: "Последний час", workers: "Рабочие процессы", errors: "Последние ошибки", noErrors: "Ошибок не было.",
  model: "Модель", demoShort: "демонстрационная", preparing: "Готовится", places: "Места", placesOf: "занято {0} из {1}, ждут {2}",
  finalLatency: "Задержка текста", partialLatency: "До первых слов", loopLag: "Задержка шлюза", samplesLost: "Потеряно отсчётов", uptime: "Работает",
  hours: "{0} ч", versions: "Версии", workersReady: "Готовы", workersOf: "{0} из {1}", memory: "Память", restarts: "Перезапуски",
  quantiles: "обычно {0}, p95 {1}", ms: "{0} мс", s: "{0} с", inAll: "всего {0}", chartPlaces: "Занято мест", chartNow: "{0} из {1}", chartWaiting: "Ждут места",
  chartLatency: "Задержка текста, p95",
  correct: "Исправлять", correctWord: "Исправить слово «{0}»", search: "Найти", found: "{0} из {1}", notFound: "Не найдено",
  timeline: "Речь {0} из {1}, пауз: {2}, неуверенных слов: {3} из {4}",
  hotwords: "Ожидаемые имена и термины, через запятую", invalid_hotwords: "Ожидаемые слова не приняты: не больше 500 фраз по 100 знаков.",
  unusable_hotwords: "Этого модель написать не может:",
  bad_key: "В ключе есть символы, которых в ключах не бывает.",
};
const EN = {
  talk: "Talk", files: "Files", start: "Start recording", stop: "Stop", finishing: "Finishing… (again to abandon)",
  level: "Loudness of the microphone", spoken: "Recognised speech", copy: "Copy", copied: "Copied",
  saveText: "Download text", newTalk: "New talk", sure: "Delete this text for good?", connecting: "Connecting, waiting for a place…", open: "Connected",
  lost: "Connection lost. Recording goes on; kept for the server: {0} s", behind: "Connected, catching up: {0} s",
  done: "", drop: "Drop audio or video here, one file or many, or",
  choose: "Choose files",
  signIn: "Sign in", signOut: "Sign out", keyLabel: "Key of this server",
  keyHint: "The key is traded for a pass of this tab, good for 12 hours, and kept nowhere.",
  privacy: "The server keeps neither sound nor text. The texts are kept by this browser, on this device only, until you delete them.",
  api: "For programs: the API",
  insecure: "The microphone is off: browsers give it only to pages over HTTPS or from this very computer, and this one came over HTTP from the network. Files work all the same. To have the microphone:",
  insecureLocal: "on the server itself, open", insecureTunnel: "from another computer: run this and open the same localhost address:",
  insecureProxy: "for everybody: start the server with --tls auto (a certificate of its own authority; the page says how to trust it) or with a certificate (--tls-cert and --tls-key), or put an HTTPS proxy before it (settings for nginx, Caddy, HAProxy and others are in deploy/proxies).",
  noMicrophone: "No microphone was given. Allow it to this page in the browser's settings (left of the address) and press again.",
  missingMicrophone: "No microphone was found. Connect one and press again.", microphoneGone: "The microphone went away; what was recorded is being recognised.",
  microphoneFailed: "The microphone did not start: {0}",
  demo: "This is the demonstration model: it was trained on synthetic voices and does not understand real people. For real work start the server with a real model.",
  ready: "{0} · ready", notReady: "The server is not ready yet: {0}", away: "The server does not answer, trying again…",
  waiting: "Queued", sending: "Sent {0} %", reading: "Reading…", working: "{0} of {1}", cancel: "Cancel", delete: "Delete", again: "Try again",
  cancelled: "Cancelled", ended: "Done, {0}", nothing: "No speech was found in the file.", missing: "Not recognised: {0}–{1}",
  cannotPlay: "The browser cannot play this format; the text does not depend on it.", playFrom: "Play from {0}", downloads: "Download",
  audio: "Sound of the file", transcript: "Text of the file {0}",
  invalid_audio: "This is no audio, or the file is damaged, or its format is not supported.", audio_too_long: "The recording is too long for this server.",
  payload_too_large: "The file is larger than this server takes.", empty_body: "The file is empty.", rate_limited: "Too many requests; wait a little.",
  quota_exceeded: "The key has used up what it may.",
  timeout: "The server is busy: no place became free. Try again.", shutting_down: "The server is stopping.",
  pool_closed: "The server is stopping.", unauthorized: "The key is wrong or missing.", network: "No connection to the server.",
  request_timeout: "Sending the file took too long.", internal: "Something went wrong on the server.",
  inference_error: "A piece of the recording was not recognised.", segment_failed: "A piece of the recording was not recognised.",
  failed: "", talkFailed: "The server ended the talk; what it has not recognised is kept here and goes with the next recording.", saved: "Saved texts", deleteAll: "Delete all", sureAll: "Delete all saved texts for good?", talkOf: "Talk of {0}",
  notKept: "The browser keeps nothing (a private window, or no room): take the texts along before you close the page.",
  device: "Microphone", anyDevice: "As the system has it", withTab: "and the sound of a tab: the other speaker", noAudio: "The browser runs no audio: it needs some output device.", noTabSound: "The tab came without sound: tick “Share audio” and press again.",
  muted: "The microphone is silent: a call or another program has it, or it is switched off. Recording goes on by itself.",
  tabGone: "The tab is not heard any more; the microphone is still recorded.", tabAgain: "Browsers give the sound of a tab only after a click: start the recording again and choose the tab.", ofMicrophone: "Microphone", ofTab: "Tab",
  apart: "tell speakers apart", people: "Names of the speakers (type them here)", speaker: "Speaker {0}", nameOf: "Name: {0}",
  captionsButton: "Captions for the hall", captionsHint: "People who open this link read along: on a screen in the hall or on their phones.",
  linkLocal: "This address is of this very computer: for phones, open the page by the server's network address.", qrOf: "QR code of the link to the captions",
  captions: "Captions", smaller: "Smaller", larger: "Larger", whole: "Full screen", qr: "QR code", following: "Live", over: "The talk is over",
  notLive: "The talk has not begun or is over; waiting…", linkExpired: "The link is no longer good: ask for a new one.",
  noSession: "Open the link that the speaker's button “Captions for the hall” gives.",
  preparingTitle: "The server prepares its model", toStatus: "State of the server", toPage: "To the page",
  now: "Now", hour: "The last hour", workers: "Workers", errors: "Last errors", noErrors: "There were none.",
  model: "Model", demoShort: "demonstration", preparing: "On its way", places: "Places", placesOf: "{0} of {1} taken, {2} waiting",
  finalLatency: "Latency of texts", partialLatency: "To the first words", loopLag: "Lag of the gateway", samplesLost: "Samples lost", uptime: "Up for",
  hours: "{0} h", versions: "Versions", workersReady: "Ready", workersOf: "{0} of {1}", memory: "Memory", restarts: "Restarts",
  quantiles: "{0} usually, {1} at p95", ms: "{0} ms", s: "{0} s", inAll: "{0} in all", chartPlaces: "Places taken", chartNow: "{0} of {1}", chartWaiting: "Waiting for a place",
  chartLatency: "Latency of texts, p95",
  correct: "Correct", correctWord: "Correct the word “{0}”", search: "Find", found: "{0} of {1}", notFound: "Not found",
  timeline: "Speech {0} of {1}, pauses: {2}, unsure words: {3} of {4}",
  hotwords: "Names and terms to expect, with commas between them", invalid_hotwords: "The expected words were not taken: 500 phrases of 100 characters at most.",
  unusable_hotwords: "The model cannot write these:",
  bad_key: "The key has characters that keys do not have.",
};

const wanted = navigator.languages.map((name) => name.slice(0, 2).toLowerCase()).find((name) => name === "ru" || name === "en");
const language = wanted === "ru" ? "ru" : "en";
const TEXTS = language === "ru" ? RU : EN;

/**
 * Return a text with its values in it.
 * @param {keyof typeof EN} name
 * @param {...(string | number)} values
 */
export const say = (name, ...values) => TEXTS[name].replace(/\{(\d)\}/g, (_, index) => String(values[index]));

/** Say what went wrong, in words for people; what the server said of it comes behind. @param {string} code @param {string} message */
export function sayError(code, message) {
  const known = Object.hasOwn(TEXTS, code) ? TEXTS[/** @type {keyof typeof EN} */ (code)] : "";
  return known && message ? `${known} (${message})` : known || message;
}

/** Put the texts into the page. */
export function translatePage() {
  document.documentElement.lang = language;
  /** @type {NodeListOf<any>[]} */
  const [texts, labels] = [document.querySelectorAll("[data-text]"), document.querySelectorAll("[data-label]")];
  for (const element of texts) element.textContent = say(element.dataset.text);
  for (const element of labels) element.setAttribute("aria-label", say(element.dataset.label));
}
