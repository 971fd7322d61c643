"""What a report cites: the papers whose methods or warnings it uses, and the software that computed it.

A paper is cited in our sentences by its `label`; the list of references holds those whose label stands in the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reference:
    """A paper. `authors` are written "Family, Given"; `where` is journal or proceedings, `place` volume and pages."""

    key: str
    label: str
    authors: tuple[str, ...]
    title: str
    year: int
    where: str
    place: str
    doi: str
    is_article: bool = True

    @property
    def line(self) -> str:
        """The entry of a list of references, as plain text."""
        place = f", {self.place}" if self.place else ""
        doi = f" doi:{self.doi}" if self.doi else ""
        authors = "; ".join("et al." if author == "others" else author for author in self.authors)
        return f"{authors} ({self.year}): {self.title}. {self.where}{place}.{doi}"

    @property
    def bibtex(self) -> str:
        """The entry of a BibTeX file."""
        volume, _, pages = self.place.partition(", ")
        fields = {"author": " and ".join(self.authors), "title": f"{{{self.title}}}", "year": str(self.year)}
        fields["journal" if self.is_article else "booktitle"] = self.where
        if volume.startswith("pp. "):
            volume, pages = "", volume.removeprefix("pp. ")
        volume, _, number = volume.partition("(")
        fields |= {"volume": volume, "number": number.rstrip(")"), "pages": pages, "doi": self.doi}
        return _entry("article" if self.is_article else "inproceedings", self.key, fields)


REFERENCES = (
    Reference(
        "abiteboul2003opic",
        "Abiteboul, Preda & Cobena 2003",
        ("Abiteboul, Serge", "Preda, Mihai", "Cobena, Gregory"),
        "Adaptive on-line page importance computation",
        2003,
        "Proceedings of the 12th International Conference on World Wide Web",
        "pp. 280–290",
        "10.1145/775152.775192",
        is_article=False,
    ),
    Reference(
        "brin1998anatomy",
        "Brin & Page 1998",
        ("Brin, Sergey", "Page, Lawrence"),
        "The anatomy of a large-scale hypertextual Web search engine",
        1998,
        "Computer Networks and ISDN Systems",
        "30(1–7), 107–117",
        "10.1016/S0169-7552(98)00110-X",
    ),
    Reference(
        "broder2000graph",
        "Broder et al. 2000",
        (
            *("Broder, Andrei", "Kumar, Ravi", "Maghoul, Farzin", "Raghavan, Prabhakar", "Rajagopalan, Sridhar"),
            *("Stata, Raymie", "Tomkins, Andrew", "Wiener, Janet"),
        ),
        "Graph structure in the Web",
        2000,
        "Computer Networks",
        "33(1–6), 309–320",
        "10.1016/S1389-1286(00)00083-9",
    ),
    Reference(
        "clauset2009power",
        "Clauset, Shalizi & Newman 2009",
        ("Clauset, Aaron", "Shalizi, Cosma Rohilla", "Newman, M. E. J."),
        "Power-law distributions in empirical data",
        2009,
        "SIAM Review",
        "51(4), 661–703",
        "10.1137/070710111",
    ),
    Reference(
        "dunning1993accurate",
        "Dunning 1993",
        ("Dunning, Ted",),
        "Accurate methods for the statistics of surprise and coincidence",
        1993,
        "Computational Linguistics",
        "19(1), 61–74",
        "",
    ),
    Reference(
        "efron1981jackknife",
        "Efron & Stein 1981",
        ("Efron, Bradley", "Stein, Charles"),
        "The jackknife estimate of variance",
        1981,
        "The Annals of Statistics",
        "9(3), 586–596",
        "10.1214/aos/1176345462",
    ),
    Reference(
        "fortunato2007resolution",
        "Fortunato & Barthélemy 2007",
        ("Fortunato, Santo", "Barthélemy, Marc"),
        "Resolution limit in community detection",
        2007,
        "Proceedings of the National Academy of Sciences",
        "104(1), 36–41",
        "10.1073/pnas.0605965104",
    ),
    Reference(
        "hagberg2008networkx",
        "Hagberg, Schult & Swart 2008",
        ("Hagberg, Aric A.", "Schult, Daniel A.", "Swart, Pieter J."),
        "Exploring network structure, dynamics, and function using NetworkX",
        2008,
        "Proceedings of the 7th Python in Science Conference",
        "pp. 11–15",
        "10.25080/TCWV9851",
        is_article=False,
    ),
    Reference(
        "hampel1974influence",
        "Hampel 1974",
        ("Hampel, Frank R.",),
        "The influence curve and its role in robust estimation",
        1974,
        "Journal of the American Statistical Association",
        "69(346), 383–393",
        "10.1080/01621459.1974.10482962",
    ),
    Reference(
        "hansen1943sampling",
        "Hansen & Hurwitz 1943",
        ("Hansen, Morris H.", "Hurwitz, William N."),
        "On the theory of sampling from finite populations",
        1943,
        "The Annals of Mathematical Statistics",
        "14(4), 333–362",
        "10.1214/aoms/1177731356",
    ),
    Reference(
        "harris2020numpy",
        "Harris et al. 2020",
        ("Harris, Charles R.", "Millman, K. Jarrod", "van der Walt, Stéfan J.", "others"),
        "Array programming with NumPy",
        2020,
        "Nature",
        "585, 357–362",
        "10.1038/s41586-020-2649-2",
    ),
    Reference(
        "vanderheijden2003point",
        "van der Heijden et al. 2003",
        (
            *("van der Heijden, Peter G. M.", "Bustami, Rami", "Cruyff, Maarten J. L. F.", "Engbersen, Godfried"),
            "van Houwelingen, Hans C.",
        ),
        "Point and interval estimation of the population size using the truncated Poisson regression model",
        2003,
        "Statistical Modelling",
        "3(4), 305–322",
        "10.1191/1471082X03st057oa",
    ),
    Reference(
        "hennig2007cluster",
        "Hennig 2007",
        ("Hennig, Christian",),
        "Cluster-wise assessment of cluster stability",
        2007,
        "Computational Statistics & Data Analysis",
        "52(1), 258–271",
        "10.1016/j.csda.2006.11.025",
    ),
    Reference(
        "horvitz1952generalization",
        "Horvitz & Thompson 1952",
        ("Horvitz, Daniel G.", "Thompson, Donovan J."),
        "A generalization of sampling without replacement from a finite universe",
        1952,
        "Journal of the American Statistical Association",
        "47(260), 663–685",
        "10.1080/01621459.1952.10483446",
    ),
    Reference(
        "hunter2007matplotlib",
        "Hunter 2007",
        ("Hunter, John D.",),
        "Matplotlib: A 2D graphics environment",
        2007,
        "Computing in Science & Engineering",
        "9(3), 90–95",
        "10.1109/MCSE.2007.55",
    ),
    Reference(
        "kurant2010bias",
        "Kurant, Markopoulou & Thiran 2010",
        ("Kurant, Maciej", "Markopoulou, Athina", "Thiran, Patrick"),
        "On the bias of BFS (breadth first search)",
        2010,
        "22nd International Teletraffic Congress",
        "pp. 1–8",
        "10.1109/ITC.2010.5608727",
        is_article=False,
    ),
    Reference(
        "kurant2011towards",
        "Kurant, Markopoulou & Thiran 2011",
        ("Kurant, Maciej", "Markopoulou, Athina", "Thiran, Patrick"),
        "Towards unbiased BFS sampling",
        2011,
        "IEEE Journal on Selected Areas in Communications",
        "29(9), 1799–1809",
        "10.1109/JSAC.2011.111005",
    ),
    Reference(
        "lancichinetti2012consensus",
        "Lancichinetti & Fortunato 2012",
        ("Lancichinetti, Andrea", "Fortunato, Santo"),
        "Consensus clustering in complex networks",
        2012,
        "Scientific Reports",
        "2, 336",
        "10.1038/srep00336",
    ),
    Reference(
        "nakajima2023private",
        "Nakajima & Shudo 2023",
        ("Nakajima, Kazuki", "Shudo, Kazuyuki"),
        "Random walk sampling in social networks involving private nodes",
        2023,
        "ACM Transactions on Knowledge Discovery from Data",
        "17(4), 1–28",
        "10.1145/3561388",
    ),
    Reference(
        "newman2003mixing",
        "Newman 2003",
        ("Newman, M. E. J.",),
        "Mixing patterns in networks",
        2003,
        "Physical Review E",
        "67(2), 026126",
        "10.1103/PhysRevE.67.026126",
    ),
    Reference(
        "newman2004finding",
        "Newman & Girvan 2004",
        ("Newman, M. E. J.", "Girvan, Michelle"),
        "Finding and evaluating community structure in networks",
        2004,
        "Physical Review E",
        "69(2), 026113",
        "10.1103/PhysRevE.69.026113",
    ),
    Reference(
        "reichardt2006statistical",
        "Reichardt & Bornholdt 2006",
        ("Reichardt, Jörg", "Bornholdt, Stefan"),
        "Statistical mechanics of community detection",
        2006,
        "Physical Review E",
        "74(1), 016110",
        "10.1103/PhysRevE.74.016110",
    ),
    Reference(
        "seidman1983network",
        "Seidman 1983",
        ("Seidman, Stephen B.",),
        "Network structure and minimum degree",
        1983,
        "Social Networks",
        "5(3), 269–287",
        "10.1016/0378-8733(83)90028-X",
    ),
    Reference(
        "smith2013structural",
        "Smith & Moody 2013",
        ("Smith, Jeffrey A.", "Moody, James"),
        "Structural effects of network sampling coverage I: Nodes missing at random",
        2013,
        "Social Networks",
        "35(4), 652–668",
        "10.1016/j.socnet.2013.09.003",
    ),
    Reference(
        "smith2017network",
        "Smith, Moody & Morgan 2017",
        ("Smith, Jeffrey A.", "Moody, James", "Morgan, Jonathan H."),
        "Network sampling coverage II: The effect of non-random missing data on network measurement",
        2017,
        "Social Networks",
        "48, 78–99",
        "10.1016/j.socnet.2016.04.005",
    ),
    Reference(
        "staudt2016networkit",
        "Staudt, Sazonovs & Meyerhenke 2016",
        ("Staudt, Christian L.", "Sazonovs, Aleksejs", "Meyerhenke, Henning"),
        "NetworKit: A tool suite for large-scale complex network analysis",
        2016,
        "Network Science",
        "4(4), 508–530",
        "10.1017/nws.2016.20",
    ),
    Reference(
        "traag2019louvain",
        "Traag, Waltman & van Eck 2019",
        ("Traag, V. A.", "Waltman, L.", "van Eck, N. J."),
        "From Louvain to Leiden: guaranteeing well-connected communities",
        2019,
        "Scientific Reports",
        "9, 5233",
        "10.1038/s41598-019-41695-z",
    ),
    Reference(
        "virtanen2020scipy",
        "Virtanen et al. 2020",
        ("Virtanen, Pauli", "Gommers, Ralf", "Oliphant, Travis E.", "others"),
        "SciPy 1.0: fundamental algorithms for scientific computing in Python",
        2020,
        "Nature Methods",
        "17, 261–272",
        "10.1038/s41592-019-0686-2",
    ),
)

SOFTWARE = {
    "followgraph": "followgraph: a crawler and analyser of follow graphs",
    "matplotlib": "Matplotlib",
    "networkit": "NetworKit",
    "networkx": "NetworkX",
    "numpy": "NumPy",
    "python": "Python",
    "scipy": "SciPy",
}
"""What the entries of the software are called."""


def cited(texts: Iterable[str]) -> list[Reference]:
    """Return the papers that these texts cite, in the order of their labels."""
    whole = "\n".join(texts)
    return sorted((one for one in REFERENCES if one.label in whole), key=lambda one: one.label.casefold())


def bibliography(found: Iterable[Reference], versions: Mapping[str, str]) -> str:
    """Return a BibTeX file of papers and of the software with its versions."""
    entries = [one.bibtex for one in found]
    for package, title in SOFTWARE.items():
        fields = {"title": f"{{{title}}}", "version": versions[package], "note": "Computer software"}
        entries.append(_entry("misc", f"{package}-software", {"key": package, **fields}))
    return "\n".join(entries)


def _entry(kind: str, key: str, fields: Mapping[str, str]) -> str:
    lines = [f"  {name} = {{{_tex(value)}}},\n" for name, value in fields.items() if value]
    return f"@{kind}{{{key},\n{''.join(lines)}}}\n"


def _tex(text: str) -> str:
    return text.replace("&", "\\&").replace("–", "--")
