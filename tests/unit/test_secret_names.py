"""Which names are taken for those of secrets, and which are not."""

from __future__ import annotations

import pytest

from exporter.config.masking import mask_url, tree_secrets
from exporter.hierarchy import Parameter
from exporter.mapping.openlineage.facets import parameter_text
from exporter.mapping.openlineage.secret_text import without_password
from exporter.mapping.secret_names import names_a_secret, names_a_secret_of_a_url

SECRETS = """
    password PASSWORD passwd pwd PGPASSWORD MYSQL_PWD db_pwd passphrase passcode pass_word
    db_pass DB_PASSWORD_PROD password2 passwordOld dbPassword user.password ssl.key.password
    password_hash secret client_secret clientSecret secrets secret_id aws_secret_access_key
    credential credentials credentials_json creds api_key APIKEY apiKey APIKey openai_api_key
    api_key_openai step.api_key X-Api-Key access_key accessKey private_key privateKey
    private_key_pem ssl.key.pem account_key AccountKey encryption_key signing_key ssh_key token
    access_token access_token_github auth-token authToken api_tokens oauth2_token hf_token
    GITHUB_TOKEN github_token_prod TOKEN_2 id_token refresh_token aws_session_token sas_token
    bot_token X-Amz-Security-Token bearer Authorization Proxy-Authorization Cookie jwt pass
    sasl.jaas.config
"""

INNOCENT = """
    max_tokens num_tokens tokens tokenizer tokenizer_name token_count n_tokens max_new_tokens
    tokens_per_second pad_token pad_token_id eos_token bos_token sep_token cls_token mask_token
    unk_token next_token image_token token_type token_ids token_url tokenEndpoint detokenize key
    keys primary_key foreign_key partition_key sort_key group_key hash_key public_key keyword
    monkey keyboard hot_key message_key messageKey keyframe aws_access_key_id compass bypass
    passes n_passes first_pass passenger passive pass_rate num_pass passwordless password_file
    PASSWORD_FILE password_length max_password_length password_policy secret_name secret_arn
    secretName secret_store credentials_path credentials_provider private_key_path
    ssl.key.location ssl.keystore.location api_key_name access_token_url password_column
    secretary sacred accredited author authors auth authority authentication signature
    model_signature design sigma learning_rate epochs input_base table
"""


@pytest.mark.parametrize("name", SECRETS.split())
def test_the_name_of_a_secret_is_known(name: str) -> None:
    assert names_a_secret(name)
    assert names_a_secret_of_a_url(name)
    assert parameter_text(Parameter(name, "hunter2")) == "***"
    assert parameter_text(Parameter("settings", {name: "hunter2"})) == f'{{"{name}": "***"}}'
    assert without_password(f"https://h/x?{name}=hunter2&a=b") == f"https://h/x?{name}=***&a=b"
    assert mask_url(f"https://h/x?{name}=hunter2&a=b") == f"https://h/x?{name}=***&a=b"
    assert tree_secrets({name: "hunter2"}) == ("hunter2",)


@pytest.mark.parametrize("name", INNOCENT.split())
def test_a_name_of_anything_else_is_not(name: str) -> None:
    assert not names_a_secret(name)
    assert parameter_text(Parameter(name, "shown")) == "shown"
    assert parameter_text(Parameter("settings", {name: "shown"})) == f'{{"{name}": "shown"}}'


@pytest.mark.parametrize(
    "name", ["sig", "Signature", "X-Amz-Signature", "functions_key", "subscription-key"]
)
def test_a_query_has_secrets_of_its_own(name: str) -> None:
    assert names_a_secret_of_a_url(name)


@pytest.mark.parametrize("name", ["key", "partition_key", "day", "design", "max_tokens", "page"])
def test_the_rest_of_a_query_is_shown(name: str) -> None:
    assert not names_a_secret_of_a_url(name)


def test_a_very_long_name_is_looked_at_by_its_end() -> None:
    assert names_a_secret("x" * 100_000 + "_password")
    assert not names_a_secret("x" * 100_000)
