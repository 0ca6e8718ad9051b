"""
People as an advertiser's systems hold them, made up from a seed: eighteen markets, names in seven scripts.

What decides the speed of a batch is how often a value comes again, and how far it is from its normal form. So names
follow Zipf's law, and values come in mixed case, with spaces around them, with diacritics (composed and not),
apostrophes, hyphens, marks that nobody sees and in a dozen ways of writing a phone number; a tenth of the people are
hashed already, and a twentieth of all values are blank.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from itertools import accumulate
from random import Random
from typing import Final

from tests.fuzz.phone_texts import usual_texts

#: The columns of a row: all that are common but FI, which is part of FN.
FIELDS: Final = (
    *("EMAIL", "PHONE", "FN", "LN", "CT", "ST", "ZIP"),
    *("COUNTRY", "GEN", "DOBY", "DOBM", "DOBD", "MADID", "EXTERN_ID"),
)
#: What most senders have.
FEW_FIELDS: Final = ("EMAIL", "PHONE", "FN", "LN", "COUNTRY")

Value = str | int | None
Row = list[Value]

HASHED_PEOPLE: Final = 0.10
UPPER_CASE_HASHES: Final = 0.05
BLANK_VALUES: Final = 0.05
_BLANKS: Final = ("", None, "  ", "null")


@dataclass(frozen=True, slots=True)
class _Language:
    """
    What names are made of.

    Args:
        first: First names, the most frequent first.
        last: Stems and endings of family names.
        places: Stems and endings of cities.
    """

    first: Sequence[str]
    last: tuple[Sequence[str], Sequence[str]]
    places: tuple[Sequence[str], Sequence[str]]


def _language(first: str, last: str, places: str) -> _Language:
    stems, _, endings = last.partition("|")
    place_stems, _, place_endings = places.partition("|")
    return _Language(
        first.split(),
        (stems.split(), [ending.replace("_", " ").replace("=", "") for ending in endings.split()]),
        (place_stems.split(), [ending.replace("_", " ").replace("=", "") for ending in place_endings.split()]),
    )


# An ending of "=" is none, "_" is a space.
_LANGUAGES: Final = {
    "en": _language(
        "James Mary John Linda Robert Emma Michael Olivia William Chloe Thomas Zoë Seán Siobhán D'Arcy Renée",
        "Smith John William Brown Harris Robin Jack Wat Thomp Ander O'Neil O’Brien McDonald St.John|= son s field ford",
        "Spring Green River Fair Ash Wood King Bristol Oak Black Mill Stoke|field ville _Park ton _Beach dale _City",
    ),
    "de": _language(
        "Peter Maria Michael Sabine Thomas Petra Jürgen Ursula Andreas Jörg Günther Käthe Sören Hannelore Björn Anneliese",
        "Müll Schmid Weiß Groß Jäg Schröd Köhl Lang Böhm Kais Stein Hof Fried Neu|er mann t el müller bauer",
        "Neu Ober Unter Düssel Köln Bad_Hom Alt Grün Wies Stein Hohen Würz|dorf burg stadt kirchen_am_Main hausen baden",
    ),
    "fr": _language(
        "Jean Marie Pierre Françoise Michel Hélène Éric Chloé André Zoé Benoît Noël François Anaïs Jérôme Thérèse",
        "Dupon Lefèv Mart Berna Duran Lemoi Garn Fontain Chevali Girar Beauli Gauti|t re in rd eau er ne",
        "Saint-Étienne Mont Ville Beau Château Bois La_Roche Neuilly Orlé Aix|-sur-Seine fort roux -en-Provence ans_2e",
    ),
    "es": _language(
        "María José Antonio Carmen Manuel Ana Francisco Lucía Juan Ángel Jesús Íñigo Begoña Concepción Raúl Inés",
        "Garc Fernánd Gonzál Rodrígu Lóp Martín Sánch Pér Góm Núñ Ibáñ Peñ|ía ez es a_Ruiz ez_Díaz",
        "San_Juan Villa Santa_Fe Puerto Ciudad Torre León Alcalá|_del_Río nueva _de_los_Santos _Real vieja",
    ),
    "pt": _language(
        "Maria José João Ana Antônio Francisca Luís Conceição Paulo Letícia Sebastião Inês Vinícius Érica Estêvão Thaís",
        "Silv Sant Oliveir Souz Lim Per Ferreir Araúj Gonçalv Magalhã|a os eira o es a_Neto",
        "São_José Rio Porto Belo Nova Ribeirão Santo|_do_Norte _Alegre _Horizonte _Preto _dos_Campos",
    ),
    "it": _language(
        "Giuseppe Maria Antonio Anna Giovanni Rosa Niccolò Lucia Mario Nicolò Elena Andrea Matteo Chiara Luca Sofia",
        "Ross Bianch D'Angel Ferr Esposit Roman Colomb Ricc De_Luc Dell'Acqu Marin|i o a ini etti",
        "San Monte Castel Villa Reggio Forlì Pont|_Giovanni _nell'Emilia franco novo verde",
    ),
    "ja": _language(
        "翔太 美咲 健一 さくら 大輔 陽子 ハルキ 由美子 拓也 愛 誠 真由美 ケンジ 結衣 直樹 恵",
        "佐 鈴 高 田 渡 伊 山 中 小 吉 加 松|藤 木 橋 中 辺 本 村 田 林",
        "横 名古 札 川 神 大 東 北 長 広|浜市 屋市 幌 崎区 戸市 阪市 京都",
    ),
    "nl": _language(
        "Jan Maria Pieter Anna Willem Johanna Daniël Loïs Sjoerd Zoë Hendrik Geertruida Koen Fleur Bram Noëlle",
        "de_Vr van_D Bakk Viss Smi Meij Mul Ja Ver van_den_B|ies ijk er ser ts nsen meulen erg",
        "Amster Rotter 's-Gravenh Utr Eind Zwol Nieuw Oud|dam age echt hoven le _aan_den_IJssel",
    ),
    "pl": _language(
        "Anna Piotr Małgorzata Krzysztof Łukasz Agnieszka Stanisław Żaneta Paweł Zofia Święcisława Michał Ewa Jan Bożena Józef",
        "Now Kowal Wiśniew Wójci Dąbrow Zieliń Szymań Woźni Wróbl|ak ski ska cki ewski",
        "Nowy_S War Kra Łó Wro Zielona_G Bydg Częst|ącz szawa ków dź cław óra oszcz ochowa",
    ),
    "sv": _language(
        "Anna Erik Åsa Lars Märta Karl Kerstin Anders Örjan Birgitta Göran Malin Nils Ingrid Åke Linnéa",
        "Anders Johans Lind Berg Sjö Nord Öst Hag Sund|son sson ström qvist gren man",
        "Norr Söder Väster Öster Göte Malm Ny Upp|köping tälje ås sund borg ö sala",
    ),
    "tr": _language(
        "Mehmet Fatma Mustafa Ayşe Ahmet Emine Ali Zeynep İbrahim Gülşen Çağla Özgür Hüseyin İrem Şükrü Ümit",
        "Yıl Kay Dem Çel Şah Özt Ay Yıld Kılı|maz a ir ik in ürk dın ız ç",
        "İstan An İz Eski Diyar Kırk Şanlı Çan|bul kara mir şehir bakır lareli urfa",
    ),
    "hi": _language(
        "Aarav Priya Rahul Anjali राहुल प्रिया अमित नेहा Vikram Lakshmi सुनीता Arjun संजय Deepa Rohan कविता",
        "Shar Kum Sin Pat Gup Red Na शर् कु सिं|ma ar gh el ta dy ir मा मार ह",
        "Ahmeda Hydera New Ben Faisal Chan मुं नई|bad _Delhi galuru digarh बई _दिल्ली",
    ),
    "ru": _language(
        "Анна Иван Мария Дмитрий Ольга Сергей Екатерина Алексей Наталья Андрей Олексій Юлія Артём Фёдор Святослав Ганна",
        "Иван Петр Смирн Кузнец Соловьё Шевч Бонд Коваль|ов ова енко ук ский",
        "Ново Екатерин Нижний_Н Кра Санкт-П Хар|сибирск бург овгород снодар етербург ків",
    ),
    "el": _language(
        "Μαρία Γιώργος Ελένη Δημήτρης Κωνσταντίνος Αικατερίνη Νίκος Βασιλική Γιάννης Σοφία Χρήστος Άννα",
        "Παπαδ Γεωργ Δημητρ Νικολ Κωνσταντ|όπουλος ίου άκης αΐδης ίνου",
        "Αθή Θεσσαλον Πάτ Ηράκλ Λάρ|να ίκη ρα ειο ισα",
    ),
    "ar": _language(
        "محمد فاطمة أحمد عائشة علي مريم عمر زينب خالد نور يوسف سارة إبراهيم ليلى حسن هدى",
        "ال عبد_ال بن_ أبو_|حسن رحمن سعيد مصري هاشمي كريم",
        "ال مدينة_|رياض قاهرة كويت دوحة",
    ),
    "zh": _language(
        "伟 芳 娜 秀英 敏 静 丽 强 磊 军 洋 勇 艳 杰 娟 涛",
        "王 李 张 刘 陈 杨 欧阳 黄 赵 吴 周 徐|= 小 志 文",
        "北 上 广 深 南|京 海 州 圳",
    ),
}


@dataclass(frozen=True, slots=True)
class _Market:
    """
    Where people live.

    Args:
        language: Of most names there.
        countries: How it is written, the most frequent first.
        states: Likewise; none where forms do not ask for one.
        zip_form: `9` stands for a digit, `A` for a letter.
    """

    language: str
    countries: Sequence[str]
    states: Sequence[str]
    zip_form: str


def _market(language: str, countries: str, states: str, zip_form: str) -> _Market:
    return _Market(language, countries.split("/"), [state.strip() for state in states.split(",") if state], zip_form)


_MARKETS: Final = {
    "US": _market(
        "en",
        "US/USA/United States/United States of America",
        "CA, California, TX, Texas, NY, New York, FL, Florida, IL, PA, OH, Washington, N. Carolina, D.C., GA, MI, NJ, VA",
        "99999",
    ),
    "DE": _market(
        "de", "DE/Germany/Deutschland/DEU", "Bayern, Hessen, Baden-Württemberg, NRW, Berlin, Sachsen", "99999"
    ),
    "GB": _market("en", "GB/United Kingdom/GBR", "England, Scotland, Greater London, Kent", "AA9 9AA"),
    "FR": _market("fr", "FR/France/FRA", "Île-de-France, Bretagne, Provence-Alpes-Côte d'Azur", "99999"),
    "BR": _market("pt", "BR/Brasil/Brazil/BRA", "SP, RJ, MG, São Paulo, Bahia, Paraná", "99999-999"),
    "ES": _market("es", "ES/España/Spain/ESP", "Madrid, Cataluña, Andalucía, País Vasco", "99999"),
    "IT": _market("it", "IT/Italia/Italy/ITA", "MI, RM, Lombardia, Lazio, Valle d'Aosta", "99999"),
    "MX": _market("es", "MX/México/Mexico/MEX", "CDMX, Jalisco, Nuevo León", "99999"),
    "AU": _market("en", "AU/Australia/AUS", "NSW, VIC, Queensland, WA", "9999"),
    "CA": _market("en", "CA/Canada/CAN", "ON, Ontario, QC, Québec, BC, AB", "A9A 9A9"),
    "JP": _market("ja", "JP/日本/Japan/JPN", "東京都, 大阪府, 北海道", "999-9999"),
    "NL": _market("nl", "NL/Nederland/Netherlands/NLD", "", "9999 AA"),
    "PL": _market("pl", "PL/Polska/Poland/POL", "mazowieckie, małopolskie", "99-999"),
    "AT": _market("de", "AT/Österreich/Austria/AUT", "Wien, Tirol, Niederösterreich", "9999"),
    "CH": _market("de", "CH/Schweiz/Suisse/Switzerland", "ZH, Bern, Genève", "9999"),
    "IN": _market("hi", "IN/India/भारत/IND", "MH, Karnataka, Delhi, Tamil Nadu", "999999"),
    "SE": _market("sv", "SE/Sverige/Sweden/SWE", "", "999 99"),
    "TR": _market("tr", "TR/Türkiye/Turkey/TUR", "", "99999"),
}
#: Languages of people who have moved.
_ELSEWHERE: Final = ("ru", "el", "ar", "zh", "tr", "pl", "es", "hi")

_DISTRICTS: Final = (*range(1, 21), "Centre", "Nord", "Süd", "East", "Hills", "(Mitte)", "II", "b. M.")
_GENDERS: Final = ("f", "m", "F", "M", "female", "male", "Female", "MALE", "w", "Frau", "Herr", "mujer", "d", "unknown")
_MAIL: Final = (
    "gmail.com",
    "Gmail.com",
    "yahoo.com",
    "web.de",
    "orange.fr",
    "hotmail.co.uk",
    "例え.jp",
    "firma.example",
)


_FLATNESS: Final = 3.0


@cache
def _by_zipf(count: int) -> list[float]:
    """Return running totals of Zipf-Mandelbrot's law: how often each of *count* values comes."""
    return list(accumulate(1 / (rank + _FLATNESS) for rank in range(1, count + 1)))


def _one_of(random: Random, values: Sequence[str]) -> str:
    """Return one of *values*, the first ones more often."""
    (value,) = random.choices(values, cum_weights=_by_zipf(len(values)))
    return value


def _joined(random: Random, parts: tuple[Sequence[str], Sequence[str]]) -> str:
    return (random.choice(parts[0]) + _one_of(random, parts[1])).replace("_", " ")


def _first_name(random: Random, language: _Language) -> str:
    first = _one_of(random, language.first)
    chance = random.random()
    if chance < 0.36:
        return f"{first}{random.choice((' ', '-'))}{_one_of(random, language.first)}"
    if chance < 0.5:
        return f"{first} {random.choice('ABCDEFGHJKLMNPRST')}."
    return first


def _last_name(random: Random, language: _Language) -> str:
    last = _joined(random, language.last)
    return f"{last}-{_joined(random, language.last)}" if random.random() < 0.4 else last


def _city(random: Random, language: _Language) -> str:
    city = _joined(random, language.places)
    return f"{city} {random.choice(_DISTRICTS)}" if random.random() < 0.25 else city


#: How many of a hundred values are written so.
_STYLES: Final[tuple[tuple[int, Callable[[str], str]], ...]] = (
    (56, lambda text: text),
    (14, str.upper),
    (14, str.lower),
    (3, lambda text: f" {text}"),
    (5, lambda text: f"{text} "),
    (2, lambda text: f"  {text.upper()}\t"),
    (2, str.swapcase),
    (1, lambda text: f"\u00a0{text}"),
    (1, lambda text: f"\u200e{text}\u200e"),
    (2, lambda text: unicodedata.normalize("NFD", text)),
)
_STYLE_WEIGHTS: Final = list(accumulate(weight for weight, _ in _STYLES))


def _styled(random: Random, text: str) -> str:
    ((_, style),) = random.choices(_STYLES, cum_weights=_STYLE_WEIGHTS)
    return style(text)


def _rarely_styled(random: Random, text: str) -> str:
    """Return what is chosen from a list more often than typed."""
    return _styled(random, text) if random.random() < 0.2 else text


def _filled(random: Random, form: str) -> str:
    """Return *form* with digits for `9` and letters for `A`."""
    kinds = {"9": "0123456789", "A": "ABCDEFGHJKLMNPRSTUWXYZ"}
    return "".join(random.choice(kinds.get(sign, sign)) for sign in form)


def _address(random: Random, first: str, last: str) -> str:
    name = f"{first}.{last}".replace(" ", "").replace("'", "") if f"{first}{last}".isascii() else "kunde"
    return f"{name}{random.getrandbits(20)}@{_one_of(random, _MAIL)}"


def _person(random: Random, phone: str, region: str) -> Row:
    market = _MARKETS[region]
    language = _LANGUAGES[random.choice(_ELSEWHERE) if random.random() < 0.08 else market.language]
    home = _LANGUAGES[market.language]
    first, last = _first_name(random, language), _last_name(random, language)
    device = f"{random.getrandbits(128):032x}"
    device = "-".join((device[:8], device[8:12], device[12:16], device[16:20], device[20:]))
    return [
        _styled(random, _address(random, first, last)),
        int(phone) if phone.isascii() and phone.isdigit() and random.random() < 0.1 else phone,
        _styled(random, first),
        _styled(random, last),
        _styled(random, _city(random, home)),
        _rarely_styled(random, _one_of(random, market.states)) if market.states else "",
        _styled(random, _filled(random, market.zip_form)),
        region if random.random() < 0.6 else _rarely_styled(random, _one_of(random, market.countries)),
        _one_of(random, _GENDERS),
        str(random.randint(1935, 2007)),
        f"{random.randint(1, 12):{random.choice(('', '02'))}}",
        f"{random.randint(1, 28):{random.choice(('', '02'))}}",
        device.upper() if random.random() < 0.5 else device,
        f"{random.choice(('C-', 'crm_', ''))}{random.getrandbits(40)}",
    ]


def _hashed(random: Random, row: Row) -> Row:
    """Return *row* as a sender hashes it: all but MADID."""
    upper = random.random() < UPPER_CASE_HASHES
    digests = [sha256(str(value).strip().lower().encode()).hexdigest() if value else value for value in row]
    return [
        value if key == "MADID" else digest.upper() if upper and isinstance(digest, str) else digest
        for key, value, digest in zip(FIELDS, row, digests, strict=True)
    ]


def people(seed: int, count: int) -> Iterator[Row]:
    """Yield *count* rows in the order of FIELDS; the same ones for the same seed."""
    random = Random(seed)
    for phone, region in usual_texts(seed, count):
        row = _person(random, phone, region)
        if random.random() < HASHED_PEOPLE:
            row = _hashed(random, row)
        yield [random.choice(_BLANKS) if random.random() < BLANK_VALUES else value for value in row]
