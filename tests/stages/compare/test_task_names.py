"""Names of tasks as lm-evaluation-harness and others give them."""

from __future__ import annotations

import pytest

from spillover.stages.compare.task_names import tasks_and_languages

AT_END = {
    "belebele_deu_Latn": ("belebele", "de"),
    "belebele_zho_Hant": ("belebele", "zh-Hant"),
    "belebele_ckb_Arab": ("belebele", "ckb-Arab"),
    "xnli_de": ("xnli", "de"),
    "global_mmlu_full_sw": ("global_mmlu_full", "sw"),
    "paws_de": ("paws", "de"),
    "xcopa_et": ("xcopa", "et"),
    "xstorycloze_sw": ("xstorycloze", "sw"),
    "arc_de": ("arc", "de"),
    "m_mmlu_de": ("m_mmlu", "de"),
    "hellaswag_de": ("hellaswag", "de"),
    "mgsm_en_cot_de": ("mgsm_en_cot", "de"),
    "lambada_openai_mt_de": ("lambada_openai_mt", "de"),
    "mmmlu_zh-CN": ("mmmlu", "zh"),
    "mmmlu_pt_BR": ("mmmlu", "pt-BR"),
}
NO_LANGUAGE = (
    "ai2_arc", "arc_easy", "mmlu_pro", "mmlu_pro_law", "gsm8k_cot", "truthfulqa_mc1", "commonsense_qa", "wic", "glue_rte",
    "bigbench_what_is_the_tao", "wmt16-en-de", "flores_en-de", "sw", "_de", "", "plur_MS_MV", "plur_MS",
    "infinitebench_code_run", "alghafa_meta_ar_msa",
)  # fmt: skip


@pytest.mark.parametrize("name", AT_END)
def test_a_code_at_the_end_is_the_language(name):
    assert tasks_and_languages([name]) == {name: AT_END[name]}


@pytest.mark.parametrize("name", NO_LANGUAGE)
def test_words_that_happen_to_be_codes_are_words(name):
    assert tasks_and_languages([name]) == {name: (name, "und")}


def test_a_code_in_the_middle_counts_beside_the_same_task_in_another_language():
    found = tasks_and_languages(["global_mmlu_full_sw_history", "global_mmlu_full_de_history", "truthfulqa_de_mc1"])
    assert found["global_mmlu_full_sw_history"] == ("global_mmlu_full_history", "sw")
    assert found["global_mmlu_full_de_history"] == ("global_mmlu_full_history", "de")
    assert found["truthfulqa_de_mc1"] == ("truthfulqa_de_mc1", "und")


def test_a_code_of_three_letters_counts_beside_the_same_task_in_another_language():
    assert tasks_and_languages(["sib_hau", "sib_swa", "afrixnli_amh_prompt_1", "afrixnli_yor_prompt_1"]) == {
        "sib_hau": ("sib", "ha"),
        "sib_swa": ("sib", "sw"),
        "afrixnli_amh_prompt_1": ("afrixnli_prompt_1", "am"),
        "afrixnli_yor_prompt_1": ("afrixnli_prompt_1", "yo"),
    }


def test_two_spellings_of_one_language_stay_apart():
    assert set(tasks_and_languages(["xnli_nb", "xnli_no", "xnli_de"]).values()) == {
        ("xnli_nb", "und"), ("xnli_no", "und"), ("xnli", "de"),
    }  # fmt: skip
