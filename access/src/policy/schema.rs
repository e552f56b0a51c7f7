//! The JSON Schema of a resource: one alternative for each kind, with the fields that stand beside its spec. Shapes only: what parses and
//! still must not be declared is in `faults`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{ResourceKind, Stated};
use crate::time::Timestamp;

/// What is other in each kind.
pub(super) struct Parts {
    /// Of the alternative: `RoleResource`.
    title: String,
    about: &'static str,
    name: Schema,
    created: Schema,
    spec: Schema,
    /// Whether there is no such resource with an empty spec.
    spec_needed: bool,
}

impl Parts {
    pub(super) fn of<Name: JsonSchema, Spec: JsonSchema>(generator: &mut SchemaGenerator, kind: &str, about: &'static str) -> Self {
        let spec_needed = Spec::json_schema(generator).get("required").is_some();
        let (name, spec) = (generator.subschema_for::<Name>(), generator.subschema_for::<Spec>());
        let created = generator.subschema_for::<Option<Timestamp>>();
        Self { title: format!("{kind}Resource"), about: about.trim(), name, created, spec, spec_needed }
    }

    fn schema(&self, kind: ResourceKind) -> Schema {
        let mut required = vec!["kind", "name"];
        required.extend(self.spec_needed.then_some("spec"));
        json_schema!({
            "type": "object",
            "description": self.about,
            "properties": {
                "kind": {"type": "string", "const": kind.as_str()},
                "name": self.name,
                "id": {"type": ["string", "null"], "description": "Given by the server once: a name that is deleted and made again has another."},
                "revision": {
                    "type": ["integer", "null"],
                    "minimum": 0,
                    "description": "Goes up with every change. Where it is written, the resource must still be at it.",
                },
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "created": self.created,
                "managed_by": {"type": ["string", "null"], "description": "Who keeps it, such as the address of a repository."},
                "spec": self.spec,
            },
            "required": required,
            "additionalProperties": false,
        })
    }
}

/// `oneOf` the kinds that are declared; each is a definition of its own, named `RoleResource` and so on.
impl JsonSchema for Stated {
    fn schema_name() -> Cow<'static, str> {
        "Resource".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let path = generator.settings().definitions_path.clone();
        let (mut kinds, mut mapping) = (Vec::new(), serde_json::Map::new());
        for kind in ResourceKind::DECLARED {
            let Some(parts) = kind.schemas(generator) else { continue };
            let place = format!("#{path}/{}", parts.title);
            generator.definitions_mut().insert(parts.title.clone(), parts.schema(kind).to_value());
            mapping.insert(kind.as_str().to_owned(), place.clone().into());
            kinds.push(Schema::new_ref(place));
        }
        json_schema!({
            "description": "Something declared. What reading it gives, writing it takes; what is absent has its default.",
            "oneOf": kinds,
            "discriminator": {"propertyName": "kind", "mapping": mapping},
        })
    }
}
