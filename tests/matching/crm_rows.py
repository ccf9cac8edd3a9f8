"""Rows of Chinese dealers' CRMs: the same buyer keyed twice with a slip, a title in place of a name, another number.

Surnames and the commonest given names have about the shares that they have in China; everything else is made up. Some
buyers live in one household and share a car, a dealer and sometimes a phone, but not a name.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

SURNAMES = {
    "王": 7.2, "李": 7.1, "张": 6.8, "刘": 5.4, "陈": 4.6, "杨": 3.1, "黄": 2.3, "赵": 2.1, "吴": 2.0, "周": 1.9,
    "徐": 1.5, "孙": 1.5, "马": 1.3, "朱": 1.3, "胡": 1.2, "郭": 1.1, "何": 1.1, "林": 1.1, "高": 1.0, "罗": 1.0,
    "郑": .95, "梁": .9, "谢": .8, "宋": .8, "唐": .7, "许": .7, "韩": .7, "冯": .65, "邓": .65, "曹": .6,
    "彭": .6, "曾": .55, "肖": .55, "田": .5, "董": .5, "袁": .5, "潘": .5, "于": .5, "蒋": .5, "蔡": .48,
    "余": .48, "杜": .46, "叶": .45, "程": .45, "苏": .44, "魏": .44, "吕": .43, "丁": .42, "任": .42, "沈": .41,
    "姚": .4, "卢": .4, "姜": .39, "崔": .38, "钟": .38, "谭": .37, "陆": .36, "汪": .36, "范": .35, "金": .34,
    "石": .33, "廖": .33, "贾": .32, "夏": .31, "韦": .31, "付": .3, "方": .3, "白": .3, "邹": .29, "孟": .29,
    "熊": .28, "秦": .28, "邱": .27, "江": .27, "尹": .26, "薛": .26, "闫": .25, "段": .24, "雷": .24, "侯": .23,
    "龙": .22, "史": .22, "陶": .21, "黎": .2, "贺": .2, "顾": .2, "毛": .19, "郝": .19, "龚": .18, "邵": .18,
    "万": .17, "钱": .17, "严": .16, "覃": .16, "武": .15, "戴": .15, "莫": .15, "孔": .14, "向": .14, "汤": .14,
    "常": .13, "温": .13, "康": .12, "施": .12, "文": .12, "牛": .11, "樊": .11, "葛": .1, "邢": .1, "安": .1,
    "齐": .09, "易": .09, "乔": .09, "伍": .08, "庞": .08, "颜": .08, "倪": .07, "庄": .07, "聂": .07, "章": .07,
    "鲁": .06, "岳": .06, "翟": .06, "殷": .06, "詹": .05, "申": .05, "欧": .05, "耿": .05, "关": .05, "兰": .05,
    "焦": .04, "俞": .04, "左": .04, "柳": .04, "甘": .04, "祝": .04, "包": .04, "宁": .04, "尚": .03, "符": .03,
    "舒": .03, "阮": .03, "柯": .03, "纪": .03, "梅": .03, "童": .03, "凌": .03, "毕": .03, "单": .03, "季": .03,
    "裴": .03, "霍": .03, "涂": .03, "成": .03, "苗": .03, "谷": .03, "盛": .03, "曲": .03, "翁": .03, "冉": .03,
    "骆": .03, "蓝": .02, "路": .02, "游": .02, "辛": .02, "靳": .02, "管": .02, "柴": .02, "蒙": .02, "鲍": .02,
    "华": .02, "喻": .02, "祁": .02, "蒲": .02, "房": .02, "滕": .02, "屈": .02, "饶": .02, "解": .02, "牟": .02,
    "艾": .02, "尤": .02, "阳": .02, "时": .02, "穆": .02, "农": .02, "司": .02, "卓": .02, "古": .02, "吉": .02,
    "欧阳": .05, "上官": .01, "司马": .01, "诸葛": .01, "司徒": .01,
}  # fmt: skip
"""In hundredths of all people."""

_COMMON_GIVEN = """
伟 芳 娜 敏 静 丽 强 磊 军 洋 勇 艳 杰 娟 涛 明 超 霞 平 刚 波 辉 鹏 飞 斌 宇 浩 凯 健 俊
帆 婷 雪 玲 琳 丹 萍 红 梅 燕 英 华 慧 倩 颖 佳 欣 琴 秀英 桂英 建国 建华 志强 海燕 秀兰 玉兰 桂兰 晓梅 小红 丽娟
国强 建军 志伟 文静 海涛 晓东 小龙 俊杰 子轩 浩然 雨欣 梓涵 欣怡 思雨 佳怡 宇航
"""
_SIGNS = """
伟芳娜敏静丽强磊军洋勇艳杰娟涛明超霞平刚波辉鹏飞斌宇浩凯健俊帆婷雪玲琳丹萍红梅燕英华慧倩颖佳欣琴秀桂
建国志海兰玉晓小文东龙子轩然雨梓涵怡思航春秋冬夏永家庆福荣贵祥瑞安宁康乐天成德仁义礼智信学书诗画景新
立民光胜利忠良才富金银珍珠宝云月星辰晨阳曦朝暮山川江河湖泽林森松柏竹菊莲荷蓉薇蕾
"""
_CITIES = """
上海 北京 广州 深圳 成都 重庆 杭州 武汉 西安 苏州 天津 南京 长沙 郑州 东莞
青岛 沈阳 宁波 昆明 合肥 佛山 福州 济南 无锡 厦门 哈尔滨 温州 石家庄 大连 南宁
"""
PROVINCES = "沪京粤粤川渝浙鄂陕苏津苏湘豫粤鲁辽浙云皖粤闽鲁苏闽黑浙冀辽桂"
_QUARTERS = "东 西 南 北 中 高新 开发区 滨江 城南 城北"
COMMON_GIVEN, CITIES, QUARTERS = _COMMON_GIVEN.split(), _CITIES.split(), _QUARTERS.split()
SIGNS = "".join(_SIGNS.split())
SERIES = {"L6": 30, "L7": 25, "L8": 15, "L9": 10, "MEGA": 3, "i6": 10, "i8": 7}
TITLES = ("先生", "女士", "总", "小姐", "")
VIN_SIGNS = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"
COLUMNS = {
    "name": "name_zh",
    "phone": "phone",
    "city": "place",
    "dealer": "text",
    "series": "category",
    "plate": "plate",
    "vin": "vin",
}

Row = dict[str, str]


def crm_rows(persons: int, seed: int = 0) -> list[Row]:
    """One to three rows a person (`id`, `person` and the keys of COLUMNS), as they were keyed."""
    draw = random.Random(seed)
    dealers = _dealers(draw)
    rows: list[Row] = []
    number = 0
    while number < persons:
        home = _home(draw, dealers)
        for member in range(draw.choices((1, 2), (9, 1))[0]):
            number += 1
            own = home if member == 0 else {**home, "phone": home["phone"] if draw.random() < 0.2 else _phone(draw)}
            person = {**own, "name": _name(draw), "series": draw.choices(*zip(*SERIES.items(), strict=True))[0]}
            for copy in range(draw.choices((1, 2, 3), (65, 25, 10))[0]):
                keyed = _keyed(draw, person, dealers, again=copy > 0)
                rows.append({"id": f"r{number}-{copy}", "person": str(number), **keyed})
    return rows


def _dealers(draw: random.Random) -> dict[str, list[str]]:
    return {
        city: [f"{city}{quarter}店" for quarter in draw.sample(QUARTERS, max(1, 6 - place // 6))]
        for place, city in enumerate(CITIES)
    }


def _home(draw: random.Random, dealers: Mapping[str, list[str]]) -> Row:
    city = draw.choices(CITIES, [1 / (place + 3) for place in range(len(CITIES))])[0]
    owner = draw.random() < 0.3
    return {
        "phone": _phone(draw),
        "city": city,
        "dealer": draw.choice(dealers[city]),
        "plate": f"{PROVINCES[CITIES.index(city)]}A{draw.randrange(10**5):05}" if owner else "",
        "vin": "LW4" + "".join(draw.choices(VIN_SIGNS, k=8)) + f"{draw.randrange(10**6):06}" if owner else "",
    }


def _phone(draw: random.Random) -> str:
    return f"1{draw.choice('3356788999')}{draw.randrange(10**9):09}"


def _name(draw: random.Random) -> str:
    surname = draw.choices(*zip(*SURNAMES.items(), strict=True))[0]
    if draw.random() < 0.15:
        given = draw.choice(COMMON_GIVEN)
    else:
        given = draw.choice(SIGNS) + (draw.choice(SIGNS) if draw.random() < 0.85 else "")
    return str(surname + given)


def _keyed(draw: random.Random, person: Row, dealers: Mapping[str, list[str]], *, again: bool) -> Row:
    row = dict(person)
    row["name"] = _keyed_name(draw, person["name"], slips=again)
    chance = draw.random()
    if again and chance < 0.05:
        row["phone"] = slip(draw, person["phone"])
    elif again and chance < 0.15:
        row["phone"] = _phone(draw)
    elif chance > 0.9:
        row["phone"] = ""
    if again and draw.random() < 0.15:
        row["city"] = draw.choice(CITIES) if draw.random() < 0.25 else person["city"]
        row["dealer"] = draw.choice(dealers[row["city"]])
    if again and draw.random() < 0.2:
        row["series"] = draw.choice(list(SERIES))
    for column, share in {"city": 0.1, "dealer": 0.1, "series": 0.15, "plate": 0.4, "vin": 0.4}.items():
        if draw.random() < share:
            row[column] = ""
    for column in ("plate", "vin"):
        if again and row[column] and draw.random() < 0.03:
            row[column] = slip(draw, row[column])
    return row


def _keyed_name(draw: random.Random, name: str, *, slips: bool) -> str:
    chance = draw.random()
    if chance < 0.12:
        surname = name[:2] if name[:2] in SURNAMES else name[:1]
        return surname + draw.choice(TITLES[:-1])
    if chance < 0.14:
        return ""
    if slips and chance < 0.2:
        place = draw.randrange(len(name) - 1) + 1
        return name[:place] + _sounds_like(draw, name[place]) + name[place + 1 :]
    return name


_HOMOPHONES = (
    "晓小",
    "伟玮",
    "芳方",
    "静婧",
    "丽莉",
    "军君",
    "艳燕",
    "杰捷",
    "明铭",
    "辉晖",
    "玲琳",
    "梅美",
    "霞侠",
    "建健",
)


def _sounds_like(draw: random.Random, sign: str) -> str:
    alike = next((group for group in _HOMOPHONES if sign in group), "")
    return alike.replace(sign, "") or draw.choice(SIGNS)


def slip(draw: random.Random, number: str) -> str:
    """One of the last eight signs changed, or two of them in the wrong order."""
    place = len(number) - 1 - draw.randrange(7)
    if draw.random() < 0.4 and number[place] != number[place - 1]:
        return number[: place - 1] + number[place] + number[place - 1] + number[place + 1 :]
    return number[:place] + draw.choice([each for each in "0123456789" if each != number[place]]) + number[place + 1 :]
