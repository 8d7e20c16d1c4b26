"""The site's navigation has every page once, its twins point at each other, and its links lead where they should."""

from __future__ import annotations

import re

import pytest

from docs import names, website


def test_every_page_but_the_index_is_in_the_navigation_once():
    listed = [name for names in website.navigation().values() for name in names]
    assert sorted([*listed, "index.md"]) == sorted(website.files())


def test_the_index_holds_the_navigation_and_the_api_its_lists():
    index = website.page("index.md")
    assert re.findall(r"^:caption: (.*)$", index, re.MULTILINE) == list(website.navigation())
    for name in website.NAMES:
        assert f"\n/{name}\n" in website.page(website.API)


def test_every_korean_page_has_an_english_one_and_each_leads_to_the_other():
    twins = website.twins()
    korean = {name for name in website.files() if re.search("[가-힣]{2}", _title(name))}
    assert {name for name, (language, _) in twins.items() if language == "English"} == korean
    for name, (language, other) in twins.items():
        assert other in website.files()
        assert twins[other][1] == name
        assert f"\n\n[{language}](/{other})\n" in website.page(name)


def _title(name):
    return re.search(r"^# (.*)$", website.files()[name].read_text(), re.MULTILINE)[1]


@pytest.mark.parametrize("name", website.files())
def test_every_link_of_a_page_leads_to_something(name):
    website.page(name)  # raises else


@pytest.mark.parametrize(
    ("link", "place"),
    [
        ("docs/howto/use-queues.md", "/howto/use-queues.md"),
        ("CONTRIBUTING.md", "/CONTRIBUTING.md"),
        ("src/kernbench/lang/tl.py", "/reference/tl.rst"),
        ("src/kernbench/lang/jit.py", "/api/kernbench/lang/jit/index.rst"),
        ("src/kernbench/engine", "/api/kernbench/engine/index.rst"),
        ("src/kernbench/engine/__init__.py", "/api/kernbench/engine/index.rst"),
        (
            "src/kernbench/cli/run.py",
            "https://github.com/kernbench/kernbench/blob/main/src/kernbench/cli/run.py",
        ),
        ("LICENSE", "https://github.com/kernbench/kernbench/blob/main/LICENSE"),
    ],
)
def test_a_link_leads_to_a_page_the_api_or_the_repository(link, place):
    assert website.place(website.ROOT / "README.md", link) == place


def test_a_link_to_nothing_is_an_error():
    with pytest.raises(FileNotFoundError):
        website.place(website.ROOT / "README.md", "docs/nothing.md")


def test_code_is_no_link():
    assert website.links(
        "a [b](c.md#d) `[e](f)` [`g` h](i.md) <x>\n```\n[j](k.md)\n```\n[l](https://m) [n](#o)"
    ) == [
        "c.md",
        "i.md",
    ]


@pytest.mark.parametrize(
    "loaded",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//cdn.example/x.css">',
        "@import 'https://fonts.example/x';",
        "src: url(https://fonts.example/x.woff)",
    ],
)
def test_what_a_page_loads_from_elsewhere_is_found(tmp_path, loaded):
    (tmp_path / "page.html").write_text(
        f'<a href="https://example.org">a link</a>{loaded}<script src="x.js">'
    )
    assert len(list(website.from_outside(tmp_path))) == 1


def test_a_search_that_fetches_its_index_is_found(tmp_path):
    (tmp_path / "search.html").write_text('<script src="searchindex.js?v=1" defer></script>')
    (tmp_path / "searchindex.js").write_text("Search.setIndex({})")
    assert website.searches_without_network(tmp_path)
    (tmp_path / "search.html").write_text('<script src="_static/searchtools.js"></script>')
    assert not website.searches_without_network(tmp_path)


def test_every_key_of_the_configuration_is_found_by_its_name():
    text = website.page("reference/configuration.md")
    indexed = {
        key for line in re.findall(r"^```{index} (.*)$", text, re.MULTILINE) for key in line.split(", ")
    }
    assert {"pe.tcm.size", "cube.noc.router_ns", "algorithms"} <= indexed


def test_what_a_user_can_say_is_promised():
    promised = set(names.promised())
    assert {
        "kb.simulate",
        "tl.exp",
        "tl.int16",
        "torch.cat",
        "torch.bfloat16",
        "torch.Tensor.add_",
    } <= promised
    assert {"torch.distributed.all_reduce", "kernbench.components.pe.pe_gemm.PeGemm"} <= promised
    assert not [name for name in promised if "._" in name and name != "kb.__version__"]


def test_a_name_has_a_signature_and_the_first_paragraph_of_its_docstring():
    text = names.page("torch")
    assert ".. py:function:: cat(tensors, dim=0)" in text
    assert "A :py:class:`~kernbench.dtypes.DType`." in text
