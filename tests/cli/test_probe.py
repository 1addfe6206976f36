from __future__ import annotations

import json


def test_the_lens_shows_words_by_layer_for_one_text(workspace, call):
    text = ("probe", "lens", "--text", "评论: good", "--model", workspace / "model")
    code, output, error = call(*text, "--tokens", "3")
    assert code == 0, error
    assert output.splitlines()[0].startswith("layer")
    assert [line.split()[0] for line in output.splitlines()[1:4]] == ["2", "1", "0"]
    found = json.loads(call(*text, "--tokens", "2", "--top", "4", "--json")[1])
    assert len(found["tokens"]) == 2
    assert [row["layer"] for row in found["layers"]] == [0, 1, 2]
    for row in found["layers"]:
        for position in row["places"]:
            shares = [token["probability"] for token in position]
            assert len(shares) == 4
            assert shares == sorted(shares, reverse=True)
    assert call("probe", "lens", "--text", "", "--model", workspace / "model")[0] == 3


def test_hostile_tokens_do_nothing_on_the_terminal(workspace, call):
    text = ("probe", "lens", "--text", "good\x1b\x07[", "--model", workspace / "model")
    code, output, error = call(*text, "--tokens", "3")
    assert code == 0, error
    assert not set("\x1b\x07") & set(output)
    assert output.split()[:4] == ["layer", "\\x1b", "\\x07", "["]
