"""Names of licences as sources write them, in the languages of their sources: the data of :mod:`app.discovery.licences`.

Names are written as the parser folds a text: lower case, without accents, every run of spaces and marks a dash. Names of one table are
looked up as a whole text; :data:`PHRASES` are found inside of one.
"""

from typing import Final

from app.discovery.licences.terms import KNOWN, PUBLIC_DOMAIN, RESERVED

__all__ = ["COUNTRIES", "FILLERS", "IDS", "PHRASES", "PORTS", "PORTS_OF_SPDX", "WORDS"]

_CC_WORDS = (
    "creative-commons", "creativecommons", "クリエイティブ-コモンズ", "知识共享", "知識共享", "創用-cc", "創用cc", "크리에이티브-커먼즈",
    "креатив-коммонс", "криэитив-коммонс",
)  # fmt: skip
_BY_WORDS = (
    "attribution", "attributions", "namensnennung", "paternite", "reconocimiento", "atribucion", "reconeixement", "atribuicao",
    "attribuzione", "naamsvermelding", "erkannande", "navngivelse", "nimea", "uznanie-autorstwa", "uvedte-puvod", "uvedte-autora",
    "atribuire", "nevezd-meg", "с-указанием-авторства", "атрибуция", "表示", "署名", "姓名標示", "저작자표시", "저작자-표시",
)  # fmt: skip
_NC_WORDS = (
    "noncommercial", "non-commercial", "non-commercial-use", "no-commercial-use", "not-for-commercial-use", "commercial-use-prohibited",
    "commercial-use-not-permitted", "commercial-use-not-allowed", "commercial-use-forbidden", "no-commercial-usage", "no-uso-comercial",
    "nicht-kommerziell", "nichtkommerziell", "keine-kommerzielle-nutzung", "pas-d-utilisation-commerciale",
    "utilisation-non-commerciale", "non-commerciale", "no-comercial", "nocomercial", "sin-uso-comercial",
    "nao-comercial", "naocomercial", "uso-nao-comercial", "niet-commercieel", "nietcommercieel", "ickekommersiell", "icke-kommersiell",
    "ikkekommersiell", "ikke-kommersiell", "ikke-kommerciel", "ei-kaupallinen", "eikaupallinen", "uzycie-niekomercyjne",
    "neuzivejte-komercne", "neuzivejte-dilo-komercne", "некоммерческое-использование", "некоммерческая", "非営利", "非商业性使用",
    "非商業性使用", "非商業性", "비영리",
)  # fmt: skip
_ND_WORDS = (
    "noderivatives", "no-derivatives", "no-modifications", "no-modification", "no-alterations", "no-adaptations",
    "noderivs", "no-derivs", "no-derivative-works", "no-derivative", "keine-bearbeitungen",
    "keine-bearbeitung", "pas-de-modification", "pas-de-modifications", "sin-obras-derivadas", "sin-obra-derivada", "sinobraderivada",
    "sin-derivadas", "sinderivadas", "sense-obra-derivada", "sem-derivacoes", "semderivacoes", "sem-derivados", "semderivados",
    "proibicao-de-realizacao-de-obras-derivadas", "non-opere-derivate", "nessuna-opera-derivata", "geen-afgeleide-werken",
    "geenafgeleidewerken", "inga-bearbetningar", "ingabearbetningar", "ingen-bearbeidelse", "ingen-bearbeidelser", "ingen-bearbejdelse",
    "ei-muutoksia", "eimuutoksia", "bez-utworow-zaleznych", "nezpracovavejte", "без-производных-произведении", "без-производных",
    "改変禁止", "禁止演绎", "禁止改作", "변경금지", "변경-금지",
)  # fmt: skip
_SA_WORDS = (
    "sharealike", "share-alike", "weitergabe-unter-gleichen-bedingungen", "partage-dans-les-memes-conditions",
    "partage-des-conditions-initiales-a-l-identique", "partage-a-l-identique", "compartir-igual", "compartirigual", "compartilhaigual",
    "compartilha-igual", "compartilhamento-pela-mesma-licenca", "partilha-nos-mesmos-termos", "condividi-allo-stesso-modo",
    "stesso-modo", "gelijk-delen", "gelijkdelen", "dela-lika", "delalika", "del-pa-samme-vilkar", "jaasamoin", "jaa-samoin",
    "na-tych-samych-warunkach", "zachovejte-licenci", "с-сохранением-условии", "распространение-на-тех-же-условиях", "継承", "相同方式共享",
    "相同方式分享", "동일조건변경허락", "동일조건-변경허락",
)  # fmt: skip

WORDS: Final[tuple[tuple[str, str], ...]] = tuple(
    sorted(
        [
            *((f"{cc}-zero", "cc0") for cc in (*_CC_WORDS, "cc")),
            *((word, "cc") for word in _CC_WORDS),
            *((word, "by") for word in _BY_WORDS),
            *((word, "nc") for word in _NC_WORDS),
            *((word, "nd") for word in _ND_WORDS),
            *((word, "sa") for word in _SA_WORDS),
        ],
        key=lambda pair: -len(pair[0]),
    )
)
"""Words of the names of Creative Commons licences, and what they are in a code. The longest first: some contain others."""

FILLERS: Final = (
    "international", "internacional", "internazionale", "internationaal", "unported", "generic", "generique", "generico", "generica",
    "deed", "legalcode", "licence", "license", "licensed", "licenses", "licences", "lizenz", "licencia", "llicencia", "licenca", "licenza",
    "licentie", "licens", "lisens", "lisenssi", "licencja", "licence-publique", "public-license", "public-licence", "version",
    "ライセンス", "国际", "國際", "国際", "许可协议", "授權條款", "라이선스", "лицензия",
)  # fmt: skip
"""Words between the parts of a name that add nothing."""

PORTS: Final = frozenset((
    "am", "ar", "at", "au", "az", "be", "bg", "br", "ca", "ch", "cl", "cn", "co", "cr", "cz", "de", "dk", "ec", "ee", "eg", "es", "fi",
    "fr", "ge", "gr", "gt", "hk", "hr", "hu", "ie", "igo", "il", "in", "it", "jp", "kr", "lu", "mk", "mt", "mx", "my", "nl", "no", "nz",
    "pe", "ph", "pl", "pr", "pt", "ro", "rs", "scotland", "se", "sg", "si", "th", "tw", "ug", "uk", "us", "ve", "vn", "za",
))  # fmt: skip
"""Countries, as they stand in addresses, that licences up to 3.0 were ported to; ``igo`` is for intergovernmental organisations."""

PORTS_OF_SPDX: Final = frozenset((
    "BY-2.5-AU", "BY-3.0-AT", "BY-3.0-AU", "BY-3.0-DE", "BY-3.0-IGO", "BY-3.0-NL", "BY-3.0-US", "BY-NC-3.0-DE", "BY-NC-ND-3.0-DE",
    "BY-NC-ND-3.0-IGO", "BY-NC-SA-2.0-DE", "BY-NC-SA-2.0-FR", "BY-NC-SA-2.0-UK", "BY-NC-SA-3.0-DE", "BY-NC-SA-3.0-IGO", "BY-ND-3.0-DE",
    "BY-SA-2.0-UK", "BY-SA-2.1-JP", "BY-SA-3.0-AT", "BY-SA-3.0-DE", "BY-SA-3.0-IGO",
))  # fmt: skip
"""Ported licences that SPDX has an id for."""

COUNTRIES: Final[dict[str, str]] = {
    "australia": "AU", "austria": "AT", "osterreich": "AT", "belgium": "BE", "brazil": "BR", "brasil": "BR", "canada": "CA", "chile": "CL",
    "czech-republic": "CZ", "denmark": "DK", "danmark": "DK", "estonia": "EE", "eesti": "EE", "france": "FR", "germany": "DE",
    "deutschland": "DE", "greece": "GR", "ireland": "IE", "italy": "IT", "italia": "IT", "日本": "JP", "japan": "JP", "luxembourg": "LU",
    "mexico": "MX", "netherlands": "NL", "nederland": "NL", "new-zealand": "NZ", "norway": "NO", "norge": "NO", "poland": "PL",
    "polska": "PL", "portugal": "PT", "singapore": "SG", "spain": "ES", "espana": "ES", "sweden": "SE", "sverige": "SE",
    "switzerland": "CH", "schweiz": "CH", "united-kingdom": "UK", "england-and-wales": "UK", "united-states": "US", "usa": "US",
}  # fmt: skip
"""Countries as the names of ported licences spell them out."""

_PUBLIC_DOMAIN_NAMES = (
    "public-domain", "publicdomain", "in-the-public-domain", "gemeinfrei", "domaine-public", "dominio-publico", "domini-public",
    "pubblico-dominio", "dominio-pubblico", "publiek-domein", "domena-publiczna", "パブリック-ドメイン", "パブリックドメイン", "公有领域",
    "公有領域", "퍼블릭-도메인", "общественное-достояние",
)  # fmt: skip
_RESERVED_NAMES = (
    "all-rights-reserved", "alle-rechte-vorbehalten", "tous-droits-reserves", "todos-los-derechos-reservados", "tots-els-drets-reservats",
    "todos-os-direitos-reservados", "tutti-i-diritti-riservati", "alle-rechten-voorbehouden", "alla-rattigheter-forbehallna",
    "med-ensamratt", "wszelkie-prawa-zastrzezone", "wszystkie-prawa-zastrzezone", "vsechna-prava-vyhrazena", "все-права-защищены",
    "無断転載禁止", "無断転載を禁じます", "版权所有", "版權所有", "모든-권리-보유", "protected-by-copyright", "urheberrechtlich-geschutzt",
)  # fmt: skip
_NO_KNOWN_NAMES = ("no-known-copyright-restrictions", "no-known-restrictions", "no-known-copyright")

PHRASES: Final[dict[str, str]] = {
    **dict.fromkeys(_RESERVED_NAMES, RESERVED),
    **dict.fromkeys(_NO_KNOWN_NAMES, "LicenseRef-NoKnownCopyright"),
    **dict.fromkeys(("united-states-government-work", "us-government-work", "u-s-government-work"), "LicenseRef-USGovernmentWork"),
    **dict.fromkeys(("usage-conditions-apply",), "LicenseRef-UsageConditionsApply"),
    **dict.fromkeys(("cc0", "cc-0", "cc-zero"), "CC0-1.0"),
    **dict.fromkeys(("pdm", "cc-pdm", "public-domain-mark"), "CC-PDM-1.0"),
    **dict.fromkeys(("gnu-free-documentation-license", "gnu-free-documentation-licence", "gnu-fdl", "gfdl"), "LicenseRef-GFDL"),
    **dict.fromkeys(("free-art-license", "free-art-licence", "licence-art-libre"), "LicenseRef-LAL"),
    "copyrighted-free-use": "LicenseRef-CopyrightedFreeUse",
    **dict.fromkeys(_PUBLIC_DOMAIN_NAMES, PUBLIC_DOMAIN),
}
"""What says one thing wherever it stands in a text."""

_RIGHTS_NAMES = {
    "InC": ("in-copyright",),
    "InC-OW-EU": ("in-copyright-eu-orphan-work",),
    "InC-EDU": ("in-copyright-educational-use-permitted",),
    "InC-NC": ("in-copyright-non-commercial-use-permitted", "in-copyright-nc-permitted"),
    "InC-RUU": ("in-copyright-rights-holder-s-unlocatable-or-unidentifiable",),
    "NoC-CR": ("no-copyright-contractual-restrictions",),
    "NoC-NC": ("no-copyright-non-commercial-use-only", "no-copyright-nc-only"),
    "NoC-OKLR": ("no-copyright-other-known-legal-restrictions",),
    "NoC-US": ("no-copyright-united-states", "no-copyright-us"),
}
_GFDL = {f"gfdl-{version}": f"GFDL-{version}-only" for version in ("1.1", "1.2", "1.3")}
_GFDL |= {f"gfdl-{version}-{more}": f"GFDL-{version}-or-later" for version in ("1.1", "1.2", "1.3") for more in ("or-later", "plus")}

IDS: Final[dict[str, str]] = {
    **{licence.lower().removeprefix("licenseref-"): licence for licence in KNOWN},
    **PHRASES,
    **{name: f"LicenseRef-rightsstatements-{key}-1.0" for key, names in _RIGHTS_NAMES.items() for name in names},
    **_GFDL,
    **{f"gnu-free-documentation-{name.removeprefix('gfdl-')}": licence for name, licence in _GFDL.items()},
    "pd": PUBLIC_DOMAIN,
    "pd-us": "LicenseRef-rightsstatements-NoC-US-1.0",
    "pd-usgov": "LicenseRef-USGovernmentWork",
    "pdm-1.0": "CC-PDM-1.0",
    "public-domain-mark-1.0": "CC-PDM-1.0",
    "cc-public-domain-mark-1.0": "CC-PDM-1.0",
    "cc-zero-1.0": "CC0-1.0",
    "cc0-1.0-universal": "CC0-1.0",
    "arr": RESERVED,
    "copyrighted": RESERVED,
    "copyright": RESERVED,
    "by": "LicenseRef-Attribution",
    "no-restrictions": "LicenseRef-NoKnownCopyright",
    **dict.fromkeys(("fal", "lal", "free-art", "art-libre"), "LicenseRef-LAL"),
    "gnu-free-documentation": "LicenseRef-GFDL",
    "fal-1.3": "LAL-1.3",
    "free-art-1.3": "LAL-1.3",
    "art-libre-1.3": "LAL-1.3",
    "apache-2": "Apache-2.0",
    "odbl": "ODbL-1.0",
    "ogl-2": "OGL-UK-2.0",
    "ogl-3": "OGL-UK-3.0",
    "ogl-3.0": "OGL-UK-3.0",
    "open-government-3.0": "OGL-UK-3.0",
    "kogl-type-1": "LicenseRef-KOGL-Type-1",
    "gpl-2.0": "GPL-2.0-only",
    "gpl-3.0": "GPL-3.0-only",
    "lgpl-3.0": "LGPL-3.0-only",
    "agpl-3.0": "AGPL-3.0-only",
    "cc-sampling+-1.0": "LicenseRef-CC-Sampling-Plus-1.0",
    "cc-nc-sampling+-1.0": "LicenseRef-CC-NC-Sampling-Plus-1.0",
}
"""Ids and names by which a whole text is known."""
