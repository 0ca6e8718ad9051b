"""
People as an advertiser's systems hold them, made up from a seed: eighteen markets, names in seven scripts.

What decides the speed of a batch is how often a value comes again, and how far it is from its normal form. So names
follow Zipf's law, and values come in mixed case, with spaces around them, with diacritics (composed and not),
apostrophes, hyphens, marks that nobody sees and in a dozen ways of writing a phone number; a tenth of the people are
hashed already, and a twentieth of all values are blank.
"""

# ruff: noqa: E501 - the parts of names read best in one line

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


#: Parts of which one each makes a name, the most frequent first.
Parts = tuple[Sequence[str], ...]


@dataclass(frozen=True, slots=True)
class _Language:
    """
    What names are made of.

    Args:
        whole: First names as they are; three times as many are made of *first*.
        first: Stems and endings of first names.
        last: Stems, middles and endings of family names.
        places: Stems and endings of cities.
    """

    whole: Sequence[str]
    first: Parts
    last: Parts
    places: Parts


def _parts(text: str) -> Parts:
    """Return the parts that ` | ` separates; `=` stands for nothing and `_` for a space."""
    return tuple([part.replace("=", "").replace("_", " ") for part in parts.split()] for parts in text.split(" | "))


def _language(whole: str, first: str, last: str, places: str) -> _Language:
    return _Language(whole.split(), _parts(first), _parts(last), _parts(places))


_LANGUAGES: Final = {
    "en": _language(
        "James Mary John Linda Robert Emma Michael Olivia William Chloe Thomas Grace Daniel Zoë D'Arcy Siobhán",
        "Al Ben Car Dan El Fran Gor Har Jan Kar Lin Mar Nor Os Pat Ros Sam Val | a ie on ette ice ine ard vin bert ley",
        "Smith Brown Har Wil Robin Thomp And Ash Black Brad Clay Hast Mor O'Neil O’Brien Mac Stan Whit | = er ing le "
        "ring ke | son s ton ford field ley worth man",
        "Spring Green River Fair Ash Wood King Bristol Oak Black Mill Stoke | field ville ton dale _Park _Beach _City",
    ),
    "de": _language(
        "Peter Maria Michael Sabine Thomas Petra Andreas Ursula Stefan Jürgen Monika Günther Käthe Jörg Sören Björn",
        "Ann Bern Diet Eber Fried Ger Hart Ing Karl Lieb Mart Rein Sieg Ul Wal Wolf | hard a mar traud linde win fried e",
        "Müll Schmid Weiß Groß Beck Schneid Lang Böhm Kais Stein Hof Fried Neu Berg Kraus Vogel | er en el el l ing | "
        "= mann t bauer sen meier berg hofer",
        "Neu Ober Unter Köln Bad_Hom Alt Grün Wies Stein Hohen Würz Berg | dorf burg stadt hausen heim kirchen_am_Main",
    ),
    "fr": _language(
        "Jean Marie Pierre Nathalie Michel Isabelle Philippe Françoise Alain Hélène André Zoé Éric Benoît Chloé Anaïs",
        "Ad Bast Clém Domin Fab Gaël Jul Lau Luc Mar Nad Ph Rom Sand Val Yv | ien ine ette ent ice ier ique on",
        "Mart Dup Lef Bern Dur Lem Garn Font Chev Gir Beaul Gaut Per Rouss Gu Mo | = on è er ar ill | "
        "in ont vre ard and oine ier ault",
        "Saint-Étienne Mont Ville Beau Château Bois La_Roche Neu Or Aix Long | fort roux ville -sur-Seine -en-Provence",
    ),
    "es": _language(
        "María José Antonio Carmen Manuel Ana Francisco Lucía Juan Laura Jesús Ángel Marta Raúl Begoña Íñigo",
        "Alb Bel Carl Dani El Fern Gab Is Jav Marc Nor Pat Ros Salv Ser Vic | ito ina anda iel ador ia gio ela",
        "Garc Fern Gonz Rodr Mart Sanch Per Gom Mor Torr Dom Ram Cast Ort Nav Herr | í án ig in en el | a dez ez o es ero era",
        "San_Juan Villa Santa_Fe Puerto Ciudad Torre León Alcalá | nueva vieja _Real _del_Río _de_los_Santos",
    ),
    "pt": _language(
        "Maria José João Ana Carlos Francisca Paulo Letícia Lucas Inês Pedro Conceição Marcos Antônio Vinícius Thaís",
        "Adri Bru Carol Deb Edu Fab Gust Jul Leo Mar Nat Rai Sil Tat Vit Wal | ana no ina ora ardo iana avo nardo",
        "Silv Sant Oliveir Souz Lim Per Ferr Araúj Gonç Alm Barb Card Carv Nasc Rib Teix | = eir al it ed | a os o es eira im",
        "São_José Rio Porto Belo Nova Ribeirão Santo Campo | _Alegre _Horizonte _Preto _do_Norte _dos_Campos",
    ),
    "it": _language(
        "Giuseppe Maria Antonio Anna Giovanni Rosa Francesco Lucia Mario Elena Andrea Chiara Luca Sofia Niccolò Nicolò",
        "Al Bart Carl Don Em Fabr Greg Is Lor Marc Nat Ren Salv Silv Vitt Val | essandro ella izio enzo ina atore ia o",
        "Ross Bianch D'Angel Ferr Esp Rom Colomb Ricc De_Luc Dell'Acqu Mar Gall Cont Bruno | = ar in ol et | i o ini etti one",
        "San Monte Castel Villa Reggio Ponte Forlì | _Giovanni franco novo verde _nell'Emilia",
    ),
    "ja": _language(
        "翔太 美咲 健一 さくら 大輔 陽子 ハルキ 由美子 拓也 愛 誠 真由美 ケンジ 結衣 直樹 恵",
        "大 美 健 優 陽 翔 直 和 真 千 | 太 子 一 奈 介 香 樹 代 菜 人",
        "佐 鈴 高 田 渡 伊 山 中 小 吉 加 松 | = 々 | 藤 木 橋 中 辺 本 村 田 林 川 野 島",
        "横 名古 札 川 神 大 東 北 長 広 | 浜市 屋市 幌 崎区 戸市 阪市 京都",
    ),
    "nl": _language(
        "Jan Maria Pieter Anna Willem Johanna Sjoerd Fleur Hendrik Koen Sanne Bram Geertruida Daniël Loïs Noëlle",
        "Aal Bert Cor Dirk Ev Fem Geer Han Jel Lot Maar Nien Rens Sieb Til Wout | je ine tje us a ke en er",
        "De_Vr Van_D Bakk Viss Sm Meij Mul Jans Ver Van_den_B De_B Kuip Hend Dekk Post | = er el enb | ies ijk ink ers oer eul ma stra",
        "Amster Rotter Utr Eind Zwol Nieuw Oud 's-Gravenh | dam echt hoven veen burg age _aan_den_IJssel",
    ),
    "pl": _language(
        "Anna Piotr Maria Krzysztof Agnieszka Andrzej Ewa Jan Zofia Tomasz Katarzyna Marek Małgorzata Łukasz Paweł Józef",
        "Al Bart Dan Em Fil Gab Hal Jac Kar Lid Mar Nat Rob Sylw Wikt Zdz | ina osz iel ek ia isław olina ian",
        "Now Kowal Wiśn Wójc Dąb Ziel Szym Woź Kam Lew Maz Krawcz Piotr Grab | = ew kow in czyk | ak ski ska cki owicz",
        "Nowy_S War Kra Wro Bydg Łó Zielona_G Częst | szawa ków cław oszcz dź óra ochowa",
    ),
    "sv": _language(
        "Anna Erik Lars Maria Karl Kerstin Anders Birgitta Nils Ingrid Malin Åsa Örjan Märta Göran Linnéa",
        "Ag Bert Ced Elis Frid Gun Hen Is Joh Lov Mar Os Rag Sig Tor Vik | il rik nar abet a olf an e",
        "And Joh Lind Berg Sjö Nord Öst Hag Sund Hed Ek Lund Ny Åk | = ers ans en er | son ström qvist gren man blad",
        "Norr Söder Väster Öster Göte Malm Ny Upp Ek | köping tälje sund borg by ås ö sala",
    ),
    "tr": _language(
        "Mehmet Fatma Mustafa Emine Ahmet Zeynep Ali Ayşe Hüseyin Elif İbrahim Gülşen Çağla Özgür İrem Şükrü",
        "Al Ber Cem Der Em Fer Gök Hak Il Kad Mel Nes Ok Sel Tun Ya | kan in per ya rin han tuğ il",
        "Yıl Kay Dem Çel Şah Özt Ayd Ars Doğ Kor Kurt Polat Er Ak | = ir ik er kan | maz lan oğlu gün taş bulut",
        "İstan An İz Eski Diyar Kırk Şanlı Mer | bul kara mir şehir bakır sin lareli urfa",
    ),
    "hi": _language(
        "Aarav Priya Rahul Anjali Vikram Lakshmi Arjun Deepa Rohan Neha राहुल प्रिया अमित नेहा सुनीता कविता",
        "An Bha Dev Gan Har Jay Kav Man Nav Par Raj San Sur Var Vin Ya | ita esh ya ant endra al i ish",
        "Shar Kum Sin Pat Gup Red Na Chau Mish Ver Agar Ban शर् कु सिं | = an ad er | ma ar gh el ta dy ra wal मा मार",
        "Ahmeda Hydera New Ben Faisal Chan Vado मुं नई | bad _Delhi galuru digarh dara बई _दिल्ली",
    ),
    "ru": _language(
        "Анна Иван Мария Дмитрий Ольга Сергей Екатерина Алексей Наталья Андрей Юлія Олексій Артём Фёдор Ганна",
        "Вас Вер Дар Ев Зин Кон Люд Мир Ром Свят Тат Яр | илий оника ья гений аида стантин мила ослав ан",
        "Иван Петр Смирн Кузнец Соловь Шевч Бонд Коваль Моро Вол Лебед Ник | = ен чен ит | ов ова ко ук ский ина",
        "Ново Екатерин Нижний_Н Кра Санкт-П Хар | сибирск бург овгород снодар етербург ків",
    ),
    "el": _language(
        "Μαρία Γιώργος Ελένη Δημήτρης Αικατερίνη Νίκος Βασιλική Γιάννης Σοφία Χρήστος Άννα Κωνσταντίνος",
        "Αθαν Βασ Γεωρ Ευαγγ Ιω Παν Στ | ασία ίλης γία ελία άννα αγιώτης έλλα",
        "Παπαδ Γεωργ Δημητρ Νικολ Κωνσταντ Αλεξ Οικον | = ι αν | όπουλος ίου άκης αΐδης ίδης",
        "Αθή Θεσσαλον Πάτ Ηράκλ Λάρ | να ίκη ρα ειο ισα",
    ),
    "ar": _language(
        "محمد فاطمة أحمد عائشة علي مريم عمر زينب خالد نور يوسف سارة إبراهيم ليلى حسن هدى",
        "عبد_ نور_ سيف_ شمس_ | الله الدين الرحمن الكريم الهدى",
        "ال عبد_ال بن_ أبو_ | = ع م | حسن رحمن سعيد مصري هاشمي كريم",
        "ال مدينة_ | رياض قاهرة كويت دوحة",
    ),
    "zh": _language(
        "伟 芳 娜 秀英 敏 静 丽 强 磊 军 洋 勇 艳 杰 娟 涛",
        "小 志 文 晓 建 海 美 玉 | 明 华 红 平 军 玲 燕 刚",
        "王 李 张 刘 陈 杨 欧阳 黄 赵 吴 周 徐 | = | =",
        "北 上 广 深 南 | 京 海 州 圳",
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


_FLATNESS: Final = 1.5


@cache
def _by_zipf(count: int) -> list[float]:
    """Return running totals of Zipf-Mandelbrot's law: how often each of *count* values comes."""
    return list(accumulate(1 / (rank + _FLATNESS) for rank in range(1, count + 1)))


def _one_of(random: Random, values: Sequence[str]) -> str:
    """Return one of *values*, the first ones more often."""
    (value,) = random.choices(values, cum_weights=_by_zipf(len(values)))
    return value


def _joined(random: Random, parts: Parts) -> str:
    return "".join(_one_of(random, part) for part in parts)


def _first_name(random: Random, language: _Language) -> str:
    chance = random.random()
    first = _one_of(random, language.whole) if chance < 0.25 else _joined(random, language.first)
    if chance < 0.07:
        return f"{first}{random.choice((' ', '-'))}{_one_of(random, language.whole)}"
    if chance > 0.96:
        return f"{first} {random.choice('ABCDEFGHJKLMNPRST')}."
    return first


def _last_name(random: Random, language: _Language) -> str:
    last = _joined(random, language.last)
    return f"{last}-{_joined(random, language.last)}" if random.random() < 0.04 else last


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
