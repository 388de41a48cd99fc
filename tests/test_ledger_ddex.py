"""The AI fields of DDEX, and the rules by which they agree."""

from xml.etree import ElementTree

import pytest

from ledger.ai_roles import ROLES, join_roles
from ledger.errors import LedgerError, Malformed
from ledger.exchange.ddex import CONTRIBUTORS, check_ai_fields, disclosure_xml
from ledger.provenance.record import material_of, write_record


@pytest.fixture
def track(tmp_path):
    model, track = tmp_path / "model", tmp_path / "a <track> & more.mid"
    model.mkdir()
    (model / "weights").write_bytes(b"1")
    track.write_bytes(b"MThd")
    write_record(track, "track", materials=[material_of("model", model, artefact=track)])
    return track


def _written(track, stated):
    return ElementTree.fromstring(disclosure_xml(track, stated))


def test_a_track_made_by_a_model(track):
    root = _written(track, {})
    assert root.tag == "{http://ddex.net/xml/ern/432}SoundRecording"
    assert root.findtext("DisplayTitle/TitleText") == "a <track> & more"
    assert root.findtext("ContainsAI") == "All"
    contributors = root.findall("Contributor")
    assert [c.findtext("SpecialContributor") for c in contributors] == ["GenerativeAI", "GenerativeAI"]
    assert [c.findtext("Role") for c in contributors] == ["Composer", "Musician"]


@pytest.mark.parametrize(
    ("stated", "contains"),
    [
        ({"lyrics": "all"}, "All"),
        ({"lyrics": "partly"}, "Partly"),
        ({"vocals": "none"}, "Partly"),
        (dict.fromkeys(ROLES, "partly"), "Partly"),
    ],
)
def test_the_whole_follows_from_the_areas(track, stated, contains):
    assert _written(track, stated).findtext("ContainsAI") == contains


def test_a_track_of_people_with_lyrics_by_a_model(track):
    human = track.with_name("human.mid")
    human.write_bytes(b"MThd")
    with pytest.raises(LedgerError, match=r"say what AI did with --ai ROLE=SHARE"):
        disclosure_xml(human, {})
    assert _written(human, {"composition": "none", "instrumentation": "none"}).findtext("ContainsAI") == "None"
    root = _written(human, {"lyrics": "all"})
    assert root.findtext("ContainsAI") == "Partly"  # somebody composed and played it
    assert root.findtext("Contributor/SpecialContributor") == "GenerativeAI"


def test_one_table_of_roles_for_tokens_and_distributors():
    assert set(CONTRIBUTORS) == set(ROLES)
    assert join_roles({}, by_model=True) == {"composition": "all", "instrumentation": "all"}
    assert join_roles({}, by_model=False) == {}
    said = join_roles({"vocals": "none", "composition": "partly"}, by_model=True)
    assert list(said.items()) == [("composition", "partly"), ("vocals", "none"), ("instrumentation", "all")]


@pytest.mark.parametrize("stated", [{"dance": "all"}, {"lyrics": "some"}, {"vocals": "fully"}, {"": ""}])
def test_unknown_roles_and_shares_are_refused(track, stated):
    with pytest.raises(LedgerError, match=r"the role is one of composition.*the share one of none, partly"):
        disclosure_xml(track, stated)


def test_a_model_that_made_it_composed_it(track):
    with pytest.raises(LedgerError, match="composition=none: the track's record names a model"):
        disclosure_xml(track, {"composition": "none"})


def _recording(contains, *contributors):
    parts = "".join(f"<Contributor>{part}</Contributor>" for part in contributors)
    return ElementTree.fromstring(f"<SoundRecording>{parts}{contains}</SoundRecording>")


AI = "<SpecialContributor>GenerativeAI</SpecialContributor><Role>Composer</Role>"
PARTY = "<ContributorPartyReference>P1</ContributorPartyReference><Role>Lyricist</Role>"


@pytest.mark.parametrize(
    ("recording", "rule"),
    [
        (("<ContainsAI>All</ContainsAI>", AI, PARTY), "Lyricist: ContainsAI is All, so every contributor"),
        (("<ContainsAI>None</ContainsAI>", AI), "Composer: ContainsAI is None, and AiContribution is All"),
        (
            ("<ContainsAI>None</ContainsAI>", PARTY + "<AiContribution>Partly</AiContribution>"),
            "Lyricist: ContainsAI is None, and AiContribution is Partly",
        ),
        (("<ContainsAI>Some</ContainsAI>", AI), "ContainsAI is 'Some'"),
        (("", PARTY + "<AiContribution>All</AiContribution>"), "Lyricist: AiContribution is All"),
        (("", AI + "<AiContribution>Partly</AiContribution>"), "Composer: AiContribution is Partly"),
        (("", AI + "<AiContribution>none</AiContribution>"), "Composer: AiContribution is none"),
    ],
)
def test_fields_that_contradict_one_another(recording, rule):
    with pytest.raises(Malformed, match=rule):
        check_ai_fields(_recording(*recording))


def test_fields_that_agree():
    check_ai_fields(_recording("<ContainsAI>All</ContainsAI>", AI, AI + "<AiContribution>All</AiContribution>"))
    check_ai_fields(_recording("<ContainsAI>Partly</ContainsAI>", AI, PARTY))
    check_ai_fields(_recording("<ContainsAI>None</ContainsAI>", PARTY, PARTY + "<AiContribution>None</AiContribution>"))
    check_ai_fields(_recording(""))


def test_a_name_that_xml_does_not_allow(track):
    odd = track.with_name("bell\a.mid")
    odd.write_bytes(b"MThd")
    with pytest.raises(Malformed, match="holds characters that XML does not allow"):
        disclosure_xml(odd, {"composition": "all"})
