"""Every field of every body in the OpenAPI description has a test of its own.

The table says which. A new field without a row here fails the test, as does a row for a field
that is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from . import test_chat_fields as chat
from . import test_completions as text
from . import test_embeddings as vector
from . import test_sampling as sampling
from . import test_stream as stream
from . import test_tokens as tokens
from .test_description import DESCRIPTION

Test = Callable[..., Any]

SAMPLING: dict[str, Test] = {
    "temperature": sampling.test_temperature_zero_is_greedy_and_a_high_one_is_not,
    "top_p": sampling.test_a_filter_at_its_extreme_leaves_only_the_likeliest_token,
    "top_k": sampling.test_a_filter_at_its_extreme_leaves_only_the_likeliest_token,
    "min_p": sampling.test_a_filter_at_its_extreme_leaves_only_the_likeliest_token,
    "typical_p": sampling.test_typical_p_changes_the_draw,
    "repetition_penalty": sampling.test_a_penalty_breaks_a_loop,
    "repeat_penalty": sampling.test_repetition_penalty_wins_over_its_alias,
    "frequency_penalty": sampling.test_a_penalty_breaks_a_loop,
    "presence_penalty": sampling.test_presence_penalty_changes_the_draw,
    "dry_multiplier": sampling.test_dry_multiplier_breaks_a_loop,
    "dry_base": sampling.test_dry_base_sets_how_steeply,
    "dry_allowed_length": sampling.test_dry_allowed_length_sets_from_when,
    "dry_penalty_last_n": sampling.test_dry_penalty_last_n_of_zero_is_off,
    "xtc_probability": sampling.test_xtc_removes_the_likeliest_tokens,
    "xtc_threshold": sampling.test_xtc_removes_the_likeliest_tokens,
    "seed": sampling.test_seed_repeats_a_draw,
    "logit_bias": sampling.test_logit_bias_takes_ids_and_strings,
    "ignore_eos": sampling.test_ignore_eos_goes_on_to_max_tokens,
}
GENERATION: dict[str, Test] = {
    **SAMPLING,
    "model": chat.test_model_may_be_an_alias_and_the_answer_names_the_model,
    "stream": chat.test_stream_switches_between_a_body_and_events,
    "stream_options": stream.test_every_stream_has_the_same_frame,
    "max_tokens": chat.test_token_limits_end_the_answer,
    "n": chat.test_n_gives_that_many_choices_each_with_its_own_seed,
    "stop": chat.test_stop_is_cut_out_wherever_the_tokens_break,
    "user": chat.test_user_is_accepted_as_a_label,
    "grammar": chat.test_grammar_of_either_kind_rules_the_answer,
    "cache_prompt": chat.test_cache_prompt_decides_whether_the_prefix_is_shared,
    "keep_alive": chat.test_keep_alive_takes_seconds_and_times,
    "route": chat.test_route_local_answers_here_and_hosted_does_not,
    "max_cost_usd": chat.test_max_cost_usd_of_nothing_still_answers_here,
    "overflow": chat.test_overflow_truncates_a_long_prompt_to_fit,
    "provider": chat.test_provider_preferences_are_an_object,
}
CHAT: dict[str, Test] = {
    **GENERATION,
    "messages": chat.test_messages_of_every_role_and_shape_are_read,
    "max_completion_tokens": chat.test_max_completion_tokens_wins_over_max_tokens,
    "logprobs": chat.test_logprobs_cover_the_text,
    "top_logprobs": chat.test_top_logprobs_are_that_many_and_in_order,
    "tools": chat.test_tools_are_described_to_the_model,
    "tool_choice": chat.test_tool_choice_required_gives_a_call_that_fits_its_schema,
    "parallel_tool_calls": chat.test_parallel_tool_calls_off_gives_one_call_only,
    "response_format": chat.test_response_format_json_schema_is_satisfied,
    "reasoning": chat.test_reasoning_can_be_asked_for_in_every_way,
    "reasoning_effort": chat.test_reasoning_can_be_asked_for_in_every_way,
    "include_reasoning": chat.test_include_reasoning_true_shows_it,
    "chat_template_kwargs": chat.test_chat_template_kwargs_nobody_knows_are_reported,
    "continue_final_message": chat.test_continue_final_message_goes_on_with_the_given_text,
    "add_generation_prompt": chat.test_add_generation_prompt_is_honoured_only_in_a_continuation,
}
COVERED: dict[str, dict[str, Test]] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {
        **GENERATION,
        "prompt": text.test_a_list_of_prompts_gives_n_choices_for_each_in_order,
        "suffix": text.test_what_cannot_be_done_is_refused_clearly,
        "echo": text.test_echo_puts_the_prompt_before_the_answer,
        "best_of": text.test_best_of_equal_to_n_is_no_wish,
        "logprobs": text.test_logprobs_have_the_legacy_shape,
    },
    "/v1/embeddings": {
        "model": vector.test_model_may_be_an_alias,
        "input": vector.test_a_list_gives_one_vector_each_in_order,
        "encoding_format": vector.test_base64_holds_the_same_numbers_as_float32,
        "dimensions": vector.test_dimensions_are_the_models_own_or_refused,
        "user": vector.test_user_is_accepted_and_unknown_parameters_are_reported_or_refused,
    },
    "/tokenize": {
        "content": tokens.test_text_survives_the_round_trip,
        "model": tokens.test_the_model_is_optional,
        "add_special": tokens.test_add_special_asks_for_the_vocabularys_beginning,
        "parse_special": tokens.test_parse_special_reads_markers_as_one_token,
        "with_pieces": tokens.test_with_pieces_shows_each_tokens_text,
    },
    "/detokenize": {
        "tokens": tokens.test_text_survives_the_round_trip,
        "model": tokens.test_the_model_is_optional,
    },
    "/apply-template": CHAT,
}


@pytest.mark.parametrize("path", COVERED)
def test_every_field_has_its_test(path: str) -> None:
    content = DESCRIPTION["paths"][path]["post"]["requestBody"]["content"]
    fields = content["application/json"]["schema"]["properties"]
    assert set(fields) == set(COVERED[path])
