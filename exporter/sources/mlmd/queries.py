"""Every query the source asks, as templates: tables are `{Execution}`, callers fill conditions.

A column is written `{id[artifact_id]}`, `{text[name]}` and so on where its value must be of that
kind: SQLite keeps any type in any column, and `store.KINDS` says what becomes of the others there.

`CROSS JOIN` fixes the order of the joins where SQLite would choose a scan. Contexts are always
asked from their own side: `Association` has an index that begins with `context_id` and none on
`execution_id`.
"""

from __future__ import annotations

TYPES = "SELECT id, {text[name]}, type_kind, {words[version]} FROM {Type}"
TYPE_PROPERTIES = "SELECT DISTINCT {text[name]} FROM {TypeProperty}"

CONTEXTS = """SELECT id, {id[type_id]}, {text[name]}, {context_external},
  {time[create_time_since_epoch]}, {time[last_update_time_since_epoch]}
  FROM {Context} WHERE {ids}"""
PIPELINES = CONTEXTS.replace("{ids}", "type_id IN ({types}) ORDER BY id")
EMPTY_PIPELINES = """SELECT c.id, {text[c.name]} FROM {Context} c WHERE c.type_id IN ({types})
  AND NOT EXISTS (SELECT 1 FROM {Association} a WHERE a.context_id = c.id)
  AND NOT EXISTS (SELECT 1 FROM {ParentContext} p WHERE p.parent_context_id = c.id)
  ORDER BY c.id"""
# `type_id + 0` keeps SQLite from reading all runs by the index on type_id for every page
RUN_PAGE = """SELECT id, {text[name]}, {id[type_id]} FROM {Context}
  WHERE type_id + 0 IN ({types}) AND id > {after} ORDER BY id LIMIT {limit}"""

ASSOCIATED = "SELECT id, context_id, {id[execution_id]} FROM {Association} WHERE {contexts}"
ASSOCIATED_WITHIN = """SELECT context_id, {id[execution_id]} FROM {Association}
  WHERE {contexts} AND {executions}"""
# contexts that were associated together with the run: within a few ids of the run's own association
NEIGHBOURS = """SELECT {id[n.context_id]}, {id[n.execution_id]}
  FROM {Association} r CROSS JOIN {Association} n
  WHERE {runs} AND n.id BETWEEN r.id - {window} AND r.id + {window}
  AND n.execution_id = r.execution_id AND n.context_id <> r.context_id"""
NODES = """SELECT {id[a.execution_id]}, c.id, {text[c.name]}
  FROM {Context} c CROSS JOIN {Association} a
  WHERE c.type_id IN ({types}) AND a.context_id = c.id AND {executions}"""
CONTEXT_PROPERTIES = """SELECT context_id, {text[name]}, {flag[is_custom_property]},
  {context_values} FROM {ContextProperty} WHERE {ids}"""
PARENT_CONTEXTS = """SELECT p.context_id, c.id, {id[c.type_id]}, {text[c.name]}
  FROM {ParentContext} p JOIN {Context} c ON c.id = p.parent_context_id WHERE {ids}"""
CHILD_CONTEXTS = """SELECT p.parent_context_id, c.id, {text[c.name]},
  {time[c.create_time_since_epoch]}
  FROM {ParentContext} p JOIN {Context} c ON c.id = p.context_id
  WHERE {ids} AND c.type_id IN ({types}) ORDER BY c.id"""

EXECUTIONS = """SELECT id, {id[type_id]}, last_known_state, {words[name]}, {execution_external},
  {time[create_time_since_epoch]}, {time[last_update_time_since_epoch]}
  FROM {Execution} WHERE {ids}"""
EXECUTION_PROPERTIES = """SELECT execution_id, {text[name]}, {flag[is_custom_property]},
  {execution_values} FROM {ExecutionProperty} WHERE {ids}"""
EVENTS = """SELECT id, {id[artifact_id]}, execution_id, type
  FROM {Event} WHERE {ids} ORDER BY id"""
EVENT_PATHS = """SELECT event_id, is_index_step, {place[step_index]}, {words[step_key]}
  FROM {EventPath} WHERE {ids} ORDER BY {path_order}"""
ARTIFACTS = """SELECT id, {id[type_id]}, {words[uri]}, state, {words[name]}, {artifact_external},
  {time[create_time_since_epoch]}, {time[last_update_time_since_epoch]}
  FROM {Artifact} WHERE {ids}"""
ARTIFACT_PROPERTIES = """SELECT artifact_id, {text[name]}, {flag[is_custom_property]},
  {artifact_values} FROM {ArtifactProperty} WHERE {ids}"""

_PRODUCER = """(SELECT x.id FROM {Event} e JOIN {Execution} x ON x.id = e.execution_id
  WHERE e.artifact_id = a.id AND e.type IN ({outputs}) AND COALESCE(x.last_known_state, 0) %s 5
  ORDER BY {first} LIMIT 1)"""
PRODUCERS = f"""SELECT a.id, COALESCE({_PRODUCER % "<>"}, {_PRODUCER % "="})
  FROM {{Artifact}} a WHERE {{ids}}"""  # noqa: S608 - two constants

# where executions outside the page belong: by the pipelines' side, then by what is beside that
PIPELINES_OF = """SELECT a.id, {id[a.execution_id]}, c.id, {text[c.name]}
  FROM {Context} c CROSS JOIN {Association} a
  WHERE c.type_id IN ({types}) AND a.context_id = c.id AND {executions}"""
BESIDE = """SELECT {id[n.execution_id]}, n.id, c.id, {id[c.type_id]}, {text[c.name]}
  FROM {Association} r CROSS JOIN {Association} n CROSS JOIN {Context} c
  WHERE {anchors} AND n.id BETWEEN r.id - {window} AND r.id + {window}
  AND n.execution_id = r.execution_id AND c.id = n.context_id AND c.type_id IN ({types})"""
CONTEXTS_OF = """SELECT {id[a.execution_id]}, a.id, c.id, {id[c.type_id]}, {text[c.name]}
  FROM {Association} a JOIN {Context} c ON c.id = a.context_id
  WHERE {executions} AND c.type_id IN ({types})"""
NAMED = """SELECT x.id, {id[x.type_id]}, {words[p.string_value]} FROM {Execution} x
  LEFT JOIN {ExecutionProperty} p ON p.execution_id = x.id AND p.name = :name WHERE {ids}"""

# the ports of the newest earlier success of the same node
EARLIER_OUTPUTS = """SELECT q.failed, {text[p.step_key]} FROM
  (SELECT f.execution_id AS failed, (SELECT b.execution_id FROM {Association} b
     JOIN {Execution} x ON x.id = b.execution_id
     WHERE b.context_id = f.context_id AND b.execution_id < f.execution_id
     AND x.last_known_state IN ({good}) ORDER BY b.execution_id DESC LIMIT 1) AS earlier
   FROM {Association} f WHERE {nodes} AND {executions}) q
  JOIN {Event} e ON e.execution_id = q.earlier AND e.type IN ({outputs})
  JOIN {EventPath} p ON p.event_id = e.id AND p.step_key IS NOT NULL"""

HEADS = """SELECT c.id, {text[c.name]}, MIN(NULLIF({time[x.create_time_since_epoch]}, 0))
  FROM {Context} c CROSS JOIN {Association} r CROSS JOIN {Association} p CROSS JOIN {Execution} x
  WHERE c.type_id IN ({types}) AND r.context_id = c.id AND p.context_id = {pipeline}
  AND p.execution_id = r.execution_id AND x.id = r.execution_id
  GROUP BY c.id, c.name ORDER BY c.id"""

# what lies behind the year 9999 is no time but text, bytes or microseconds; as the newest of all it
# would hide every later change
_TIMES = "last_update_time_since_epoch <= 253402300799999"
MAXIMA = f"""SELECT
  (SELECT MAX(schema_version) FROM {{MLMDEnv}}),
  (SELECT MAX(id) FROM {{Event}}),
  (SELECT MAX(id) FROM {{Association}}),
  (SELECT MAX(id) FROM {{Context}}),
  (SELECT MAX(last_update_time_since_epoch) FROM {{Execution}} WHERE {_TIMES}),
  (SELECT MAX(last_update_time_since_epoch) FROM {{Artifact}} WHERE {_TIMES}),
  (SELECT MAX(last_update_time_since_epoch) FROM {{Context}} WHERE {_TIMES})"""  # noqa: S608 - a constant
MOVED = f"""SELECT id, {{time[last_update_time_since_epoch]}} FROM {{table}}
  WHERE last_update_time_since_epoch >= {{since}} AND {_TIMES}
  ORDER BY last_update_time_since_epoch DESC, id DESC"""  # noqa: S608 - a constant
IDS_ABOVE = "SELECT id FROM {table} WHERE id > {above} ORDER BY id"
EVENTS_ABOVE = "SELECT id, {id[execution_id]} FROM {Event} WHERE {ids} ORDER BY id"
EVENTS_OF_ARTIFACTS = "SELECT DISTINCT {id[execution_id]} FROM {Event} WHERE {artifacts}"
ASSOCIATIONS_ABOVE = (
    "SELECT id, {id[context_id]}, {id[execution_id]} FROM {Association} WHERE {ids} ORDER BY id"
)
EXECUTIONS_OF_CONTEXTS = """SELECT DISTINCT {id[execution_id]}
  FROM {Association} WHERE {contexts}"""
