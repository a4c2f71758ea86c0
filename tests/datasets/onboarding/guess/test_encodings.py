"""Honest texts in the encodings of the world: what they are read as must be what was written."""

import random

import pytest

from ok_ml.datasets.onboarding.guess.encodings import guess_encoding

WORDS = {
    "French": "Beyoncé,Mylène Farmer,Café del Mar,Étienne Daho,Noir Désir,Françoise Hardy,Téléphone,Zazie,Céline Dion,Garçon",
    "German": "Die Ärzte,Böhse Onkelz,Grönemeyer,Söhne Mannheims,Max Müller,Straße,Jürgens,Rammstein",
    "Spanish": "Maná,Café Tacvba,Joaquín Sabina,Héroes del Silencio,Niña Pastori,Andrés Calamaro,Señor Coconut",
    "Nordic": "Håkan Hellström,Kent,Åsa,Björn Skifs,Lars Winnerbäck,Röyksopp,Ærø,København",
    "names of all over": "Beyoncé,Sigur Rós,Mylène Farmer,Café,Björk,Motörhead,Señor Coconut,Queensrÿche,Zoé,Maná",
    "quotes": "Guns N’ Roses,“Weird Al” Yankovic,Sinéad O’Connor,Don’t Stop,Live – Now,Price €5",
    "capitals": "BEYONCÉ,MYLÈNE FARMER,CAFÉ,ÉTIENNE DAHO,FRANÇOISE HARDY",
    "Polish": "Łąki Łan,Czesław Niemen,Żywiołak,Świetliki,Mieczysław Fogg,Dżem,Miód,Krążek,Brodka",
    "Czech": "Lucie Bílá,Kabát,Jaromír Nohavica,Žlutý pes,Tři sestry,Dvořák,Čechomor,Mňága a Žďorp",
    "Hungarian": "Kispál és a Borz,Őrség,Fűrész,Szőke,Zorán,Demjén,Omega",
    "Russian": "Земфира,Кино,Алла Пугачёва,Сплин,Мумий Тролль,Би-2,ДДТ,Группа 12,Машина времени,Тату feat. Queen",
    "Ukrainian": "Океан Ельзи,Скрябін,Бумбокс,Друга Ріка,Їжак,Євген,Плач Єремії",
    "Greek": "Πυξ Λαξ,Άννα Βίσση,Σωκράτης Μάλαμας,Νταλάρας,Τρύπες,Χάρις Αλεξίου",
    "Turkish": "Barış Manço,Şebnem Ferah,Müslüm Gürses,İbrahim Tatlıses,Çağrı,Yıldız Tilbe,Doğuş",
    "Hebrew": "עידן רייכל,שלמה ארצי,משינה,אריק איינשטיין,כוורת",
    "Arabic": "فيروز,أم كلثوم,عمرو دياب,كاظم الساهر,نانسي عجرم",
    "Lithuanian": "Žalvarinis,Šiaurės,Ąžuolas,Mikutavičius,Ėjimas,Lietuviškų,Foje",
    "Chinese": "周杰伦,王菲,邓丽君,陈奕迅,五月天,李宗盛,北京,上海音乐",
    "Taiwan": "周杰倫,王菲,鄧麗君,陳奕迅,五月天,張學友,臺北",
    "Japanese": "宇多田ヒカル,サザンオールスターズ,きゃりーぱみゅぱみゅ,東京事変,くるり",
    "Korean": "소녀시대,빅뱅,아이유,방탄소년단,조용필,김광석",
    "Thai": "คาราบาว,บอดี้สแลม,เบิร์ด ธงไชย,โลโซ",
}
WRITTEN = {
    "French": ("latin-1", "cp1252", "cp850", "mac-roman"),
    "German": ("latin-1", "cp1252", "cp850"),
    "Spanish": ("latin-1", "cp1252", "cp850"),
    "Nordic": ("latin-1", "cp1252"),
    "names of all over": ("latin-1", "cp1252"),
    "quotes": ("cp1252",),
    "capitals": ("latin-1",),
    "Polish": ("cp1250", "iso8859-2"),
    "Czech": ("cp1250", "iso8859-2"),
    "Hungarian": ("cp1250", "iso8859-2"),
    "Russian": ("cp1251", "koi8-r", "cp866", "iso8859-5", "mac-cyrillic"),
    "Ukrainian": ("cp1251", "koi8-u"),
    "Greek": ("cp1253", "iso8859-7"),
    "Turkish": ("cp1254", "iso8859-9"),
    "Hebrew": ("cp1255",),
    "Arabic": ("cp1256", "iso8859-6"),
    "Lithuanian": ("cp1257",),
    "Chinese": ("gb18030", "gb2312"),
    "Taiwan": ("big5",),
    "Japanese": ("shift_jis", "euc_jp", "iso2022_jp"),
    "Korean": ("euc_kr", "cp949"),
    "Thai": ("cp874",),
}
UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


def log(words: list[str], rows: int = 400) -> str:
    rng = random.Random(1)
    lines = (f"{rng.randrange(500)},{rng.choice(words)},{1709252637 + row * 60}" for row in range(rows))
    return "user_id,artist,ts\n" + "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize(("language", "encoding"), [(one, name) for one in WORDS for name in (*WRITTEN[one], *UNICODE)])
def test_a_log_is_read_as_it_was_written(language: str, encoding: str) -> None:
    text = log(WORDS[language].split(","))
    raw = text.encode(encoding)
    found = guess_encoding(raw)
    assert raw.decode(found.name).lstrip("\ufeff") == text
    if encoding in UNICODE:
        assert found.doubt == ""


def test_what_is_read_is_shown_and_few_letters_leave_a_doubt() -> None:
    sure = guess_encoding(log(WORDS["Russian"].split(",")).encode("cp1251"))
    assert (sure.name, sure.doubt) == ("cp1251", "")
    assert "Пугачёва" in guess_encoding(log(["Пугачёва", "ДДТ"]).encode("cp1251")).why
    unsure = guess_encoding(log(["Zürich", "Genève"]).encode("latin-1"))
    assert (unsure.name, unsure.why) == ("cp1252", "reads Genève, Zürich")
    assert "cp1250 is possible too: '" in unsure.doubt
    assert "Genčve" in unsure.doubt


def test_a_few_broken_lines_do_not_make_another_encoding_of_utf_8() -> None:
    raw = log(WORDS["French"].split(",")).encode() + b"1,caf\xe9,1709252637\n"
    found = guess_encoding(raw)
    assert (found.name, found.doubt.split(" of ")[0]) == ("utf-8", "1")


def test_letters_that_come_late_are_waited_for() -> None:
    plain, late = log(["Queen", "Kent"]).encode(), log(WORDS["Polish"].split(",")).encode("cp1250")
    assert guess_encoding(plain).name == "utf-8"
    assert guess_encoding(plain, [plain, late]).name == "cp1250"
    assert guess_encoding(plain + "é".encode()[:1]).name == "utf-8"  # the sample ends within a letter
