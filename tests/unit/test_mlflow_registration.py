"""Which models are registered, under which name; and what the list of rules may not say."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from support.mlflow_model_units import with_model
from support.mlflow_samples import NAMING, Files, five_steps

from exporter.errors import ConfigError
from exporter.mapping.mlflow import naming_from_yaml, plan_unit
from exporter.mapping.mlflow.registration import (
    ModelRule,
    Registration,
    registered_name,
    registrations_of,
)

NAMES = {
    "repository": "acme",
    "stack": "local",
    "pipeline": "train",
    "step": "trainer",
    "output": "model",
}


@pytest.mark.parametrize(
    ("rule", "taken"),
    [
        (ModelRule("n"), True),
        (ModelRule("n", pipeline="tr*", step="trainer", output="model", stack="l?cal"), True),
        (ModelRule("n", pipeline="Train"), False),
        (ModelRule("n", step="train"), False),
        (ModelRule("n", output="score"), False),
        (ModelRule("n", stack="prod"), False),
    ],
)
def test_a_rule_means_the_models_that_its_patterns_fit(rule: ModelRule, taken: bool) -> None:
    assert bool(registrations_of([rule], NAMES, Counter())) == taken


def test_a_model_may_have_several_names_each_once_with_the_aliases_of_all_rules() -> None:
    rules = [
        ModelRule("{pipeline}", aliases=("a", "b")),
        ModelRule("all {repository}"),
        ModelRule("train", aliases=("b", "c")),
    ]
    assert registrations_of(rules, NAMES, Counter()) == (
        Registration("train", ("a", "b", "c")),
        Registration("all acme"),
    )


@pytest.mark.parametrize("name", ["a/b:c", "", " ", ".", "..", "x" * 400, "plain", "a b.c"])
def test_a_registered_name_is_one_that_mlflow_takes(name: str) -> None:
    from mlflow.utils.validation import _validate_model_name

    made = registered_name(name, Counter())
    _validate_model_name(made)
    assert 0 < len(made) <= 251
    assert made == name or name not in {"plain", "a b.c"}


def test_rules_are_read_from_yaml() -> None:
    naming = naming_from_yaml(
        {"models": [{"name": "churn", "step": "t*", "aliases": ["candidate"]}, {"name": "x"}]}
    )
    assert naming.models == (
        ModelRule("churn", step="t*", aliases=("candidate",)),
        ModelRule("x"),
    )
    assert naming_from_yaml({"models": []}).models == ()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"name": "x"}, "must be a list"),
        (["x"], r"models\[0\] must map"),
        ([{"name": "x"}, {"nmae": "y"}], r"models\[1\]: unknown key 'nmae'.*'name'"),
        ([{"name": "x", "pipline": "y"}], "Did you mean 'pipeline'"),
        ([{"step": "trainer"}], r"models\[0\] has no name"),
        ([{"name": ""}], "name must be a text"),
        ([{"name": "{run}"}], r"'\{run\}' cannot be filled"),
        ([{"name": "x", "step": 3}], "step must be a text"),
        ([{"name": "x", "aliases": "a"}], "aliases must be a list"),
        ([{"name": "x", "aliases": ["latest"]}], "no alias 'latest'"),
        ([{"name": "x", "aliases": ["V12"]}], "no alias 'V12'"),
        ([{"name": "x", "aliases": ["a b"]}], "no alias 'a b'"),
    ],
)
def test_what_is_wrong_in_a_rule_is_named(value: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        naming_from_yaml({"models": value})
    import re

    assert re.search(said, str(caught.value), re.DOTALL)


def test_a_unit_plans_its_models_with_what_they_are_registered_as() -> None:
    naming = replace(NAMING, models=(ModelRule("{stack} {step}"),))
    (plan,) = plan_unit(with_model(five_steps(), Files()), {}, naming).models
    assert plan.registrations == (Registration("local step_0"),)
    assert plan.model.name == "step_0-model"
    assert plan.tags["exporter.artifact"] == "1-model"
    assert [target for _, target in plan.files] == ["model"]
    assert not plan_unit(
        with_model(five_steps(), Files()), {}, replace(naming, logged_models=False)
    ).models


def test_a_model_that_another_unit_holds_is_planned_there_alone() -> None:
    first = plan_unit(with_model(five_steps(), Files()), {}, NAMING)
    assert first.models
    other = with_model(five_steps(run="run_2"), Files())
    homes = {"1-model": first.new_homes["1-model"]}
    assert not plan_unit(other, homes, NAMING).models
