//! What one operation takes, demands and gives, told by the types in its handler's signature, so that neither can change without the
//! other. What a signature cannot say, such as the media type of a stream, the table of routes adds by hand.

use axum::Json;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Form, Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};
use wire::api::PROBLEM;
use wire::api::watch::EVENTS;

use super::super::bearer::Bound;
use super::super::person::{Certified, May, Person, Present, Right, Told};
use super::super::problem::{Asked, Body, No};
use super::super::tokens::Secret;
use super::super::{App, Peer};

/// The media type of nearly everything.
const JSON: &str = "application/json";

/// One operation while it is told.
pub(in crate::api) struct Operation<'g> {
    generator: &'g mut SchemaGenerator,
    path: &'static str,
    parameters: Vec<Value>,
    /// Media type and schema.
    body: Option<(&'static str, Value)>,
    /// Status of the answer where it goes well.
    status: &'static str,
    answers: Map<String, Value>,
    /// Answers beside a problem where it goes wrong.
    refusals: Map<String, Value>,
    tagged: bool,
    security: Value,
    more: Map<String, Value>,
}

impl<'g> Operation<'g> {
    pub(super) fn new(generator: &'g mut SchemaGenerator, path: &'static str) -> Self {
        Self {
            generator,
            path,
            parameters: Vec::new(),
            body: None,
            status: "200",
            answers: Map::new(),
            refusals: Map::new(),
            tagged: false,
            security: json!([]),
            more: Map::new(),
        }
    }

    /// A reference to the schema of a type.
    pub(in crate::api) fn schema<T: JsonSchema>(&mut self) -> Value {
        self.generator.subschema_for::<T>().to_value()
    }

    /// The body is JSON of this type.
    pub(in crate::api) fn takes<T: JsonSchema>(&mut self) -> &mut Self {
        self.body = Some((JSON, self.schema::<T>()));
        self
    }

    /// The answer is JSON of this type.
    pub(in crate::api) fn gives<T: JsonSchema>(&mut self) -> &mut Self {
        let schema = self.schema::<T>();
        self.gives_as(JSON, schema)
    }

    /// The answer has this media type, or this one too.
    pub(in crate::api) fn gives_as(&mut self, media: &str, schema: Value) -> &mut Self {
        self.answers.insert(media.to_owned(), json!({ "schema": schema }));
        self
    }

    /// The answer is lines of JSON of this type.
    pub(in crate::api) fn gives_lines<T: JsonSchema>(&mut self, media: &str) -> &mut Self {
        let line = self.schema::<T>();
        self.gives_as(media, json!({ "type": "string", "description": "One JSON value on each line.", "x-naru-line": line }))
    }

    /// The answer is server-sent events: their names, each with the schema of its data.
    pub(in crate::api) fn gives_messages(&mut self, messages: &[(&str, Value)]) -> &mut Self {
        let messages: Map<String, Value> = messages.iter().map(|(name, data)| ((*name).to_owned(), data.clone())).collect();
        self.header("LastEventId").gives_as(EVENTS, json!({ "type": "string", "x-naru-messages": messages }))
    }

    /// A no has this media type too: nobody of ours reads it.
    pub(in crate::api) fn refuses_as(&mut self, media: &str, schema: Value) -> &mut Self {
        self.refusals.insert(media.to_owned(), json!({ "schema": schema }));
        self
    }

    /// The answer has an `ETag`.
    pub(in crate::api) fn tagged(&mut self) -> &mut Self {
        self.tagged = true;
        self
    }

    /// It goes well with another status than 200, and without a body.
    pub(in crate::api) fn ends_with(&mut self, status: &'static str) -> &mut Self {
        self.status = status;
        self
    }

    /// A header that is named in the document's components.
    pub(in crate::api) fn header(&mut self, component: &str) -> &mut Self {
        let told = json!({ "$ref": format!("#/components/parameters/{component}") });
        if !self.parameters.contains(&told) {
            self.parameters.push(told);
        }
        self
    }

    /// A parameter of the path takes one of these words only.
    pub(in crate::api) fn one_of(&mut self, name: &str, words: &[&str]) -> &mut Self {
        let told = self.parameters.iter_mut().find(|one| one.get("name").is_some_and(|has| has == name));
        if let Some(schema) = told.and_then(|one| one.get_mut("schema")) {
            *schema = json!({ "type": "string", "enum": words });
        }
        self
    }

    /// Needs a client certificate.
    pub(in crate::api) fn certified(&mut self) -> &mut Self {
        self.security = json!([{ "certificate": [] }]);
        self
    }

    /// Needs a client certificate or an access token.
    fn signed_in(&mut self) -> &mut Self {
        self.security = json!([{ "certificate": [] }, { "bearer": [] }, { "dpop": [] }]);
        self
    }

    /// The right that is decided, where a certificate alone is not enough.
    pub(in crate::api) fn right(&mut self, right: &str) -> &mut Self {
        self.says("x-naru-right", right.into())
    }

    /// Something of ours beside what OpenAPI has a word for; the name begins with `x-naru-`.
    pub(in crate::api) fn says(&mut self, name: &str, what: Value) -> &mut Self {
        self.more.insert(name.to_owned(), what);
        self
    }

    /// The members of the query, each a parameter. An absent one is left out: a query has no null.
    fn query<T: JsonSchema>(&mut self) {
        let schema = T::json_schema(self.generator).to_value();
        let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let mut schema = without_null(schema.clone());
            let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            let mut told = json!({ "name": name, "in": "query", "schema": schema, "required": required.contains(&name.as_str().into()) });
            if let (Some(about), Some(told)) = (about, told.as_object_mut()) {
                told.insert("description".to_owned(), about);
            }
            self.parameters.push(told);
        }
    }

    /// As OpenAPI has it.
    pub(super) fn told(mut self) -> Map<String, Value> {
        let mut all = self.more;
        let mut good = json!({ "description": "It went well." });
        if let Some(good) = good.as_object_mut() {
            if !self.answers.is_empty() {
                good.insert("content".to_owned(), self.answers.into());
            }
            if self.tagged {
                good.insert("headers".to_owned(), json!({ "ETag": { "$ref": "#/components/headers/ETag" } }));
            }
        }
        let mut bad = json!({ "$ref": "#/components/responses/Problem" });
        if !self.refusals.is_empty() {
            self.refusals.insert(PROBLEM.to_owned(), json!({ "schema": { "$ref": "#/components/schemas/Problem" } }));
            bad = json!({ "description": "It did not go well.", "content": self.refusals });
        }
        all.insert("responses".to_owned(), json!({ self.status: good, "default": bad }));
        if let Some((media, schema)) = self.body {
            all.insert("requestBody".to_owned(), json!({ "required": true, "content": { media: { "schema": schema } } }));
        }
        if !self.parameters.is_empty() {
            all.insert("parameters".to_owned(), self.parameters.into());
        }
        all.insert("security".to_owned(), self.security);
        all
    }
}

/// The schema of an `Option` without its null.
fn without_null(mut schema: Value) -> Value {
    let null = Value::from("null");
    if let Some(types) = schema.get_mut("type").filter(|types| types.is_array())
        && let Some([one, other]) = types.as_array().map(Vec::as_slice)
        && *other == null
    {
        *types = one.clone();
    }
    let one = schema.get("anyOf").and_then(Value::as_array).and_then(|any| match any.as_slice() {
        [one, other] if other.get("type") == Some(&null) => Some(one.clone()),
        _ => None,
    });
    if let (Some(one), Some(fields)) = (one, schema.as_object_mut()) {
        fields.remove("anyOf");
        fields.extend(one.as_object().cloned().unwrap_or_default());
    }
    if schema.get("default") == Some(&Value::Null)
        && let Some(fields) = schema.as_object_mut()
    {
        fields.remove("default");
    }
    schema
}

/// An argument of a handler.
pub(in crate::api) trait Takes {
    /// What it says of the operation.
    fn tell(operation: &mut Operation<'_>);
}

/// The answer of a handler.
pub(in crate::api) trait Gives {
    /// What it says of the operation.
    fn tell(operation: &mut Operation<'_>);
}

/// A handler that is told by its signature; `Signature` is its answer and its arguments.
pub(in crate::api) trait Described<Signature> {
    /// All that the signature says.
    fn describe(operation: &mut Operation<'_>);
}

macro_rules! described {
    ($($argument:ident)*) => {
        impl<F, Going, Out, $($argument),*> Described<(Out, $($argument,)*)> for F
        where
            F: Fn($($argument),*) -> Going,
            Going: Future<Output = Out>,
            Out: Gives,
            $($argument: Takes,)*
        {
            fn describe(operation: &mut Operation<'_>) {
                $($argument::tell(operation);)*
                Out::tell(operation);
            }
        }
    };
}

described!();
described!(A);
described!(A B);
described!(A B C);
described!(A B C D);
described!(A B C D E);
described!(A B C D E G);

macro_rules! silent {
    ($($argument:ty),*) => {$(
        impl Takes for $argument {
            fn tell(_: &mut Operation<'_>) {}
        }
    )*};
}

silent!(State<App>, axum::Extension<Peer>, HeaderMap, RawQuery, WebSocketUpgrade);

impl Takes for Person {
    fn tell(operation: &mut Operation<'_>) {
        operation.signed_in().header("NaruRun");
    }
}

impl Takes for Certified {
    fn tell(operation: &mut Operation<'_>) {
        operation.certified().header("NaruRun");
    }
}

impl Takes for Bound {
    fn tell(operation: &mut Operation<'_>) {
        operation.header("DPoP");
    }
}

impl Takes for Present {
    fn tell(operation: &mut Operation<'_>) {
        Person::tell(operation);
    }
}

impl<R: Right> Takes for May<R> {
    fn tell(operation: &mut Operation<'_>) {
        Person::tell(operation);
        operation.right(R::ASKED);
    }
}

impl<P: Takes, T: JsonSchema> Takes for Told<P, T> {
    fn tell(operation: &mut Operation<'_>) {
        P::tell(operation);
        operation.takes::<T>();
    }
}

impl<T: JsonSchema> Takes for Body<T> {
    fn tell(operation: &mut Operation<'_>) {
        operation.takes::<T>();
    }
}

impl<T: JsonSchema, E> Takes for Result<Form<T>, E> {
    fn tell(operation: &mut Operation<'_>) {
        operation.body = Some(("application/x-www-form-urlencoded", operation.schema::<T>()));
    }
}

impl<T: JsonSchema> Takes for Asked<T> {
    fn tell(operation: &mut Operation<'_>) {
        operation.query::<T>();
    }
}

/// What the parts of a path are, in their order.
pub(in crate::api) trait Places {
    /// The schema of each.
    fn schemas(operation: &mut Operation<'_>) -> Vec<Value>;
}

impl<A: JsonSchema> Places for (A,) {
    fn schemas(operation: &mut Operation<'_>) -> Vec<Value> {
        vec![operation.schema::<A>()]
    }
}

impl<A: JsonSchema, B: JsonSchema> Places for (A, B) {
    fn schemas(operation: &mut Operation<'_>) -> Vec<Value> {
        vec![operation.schema::<A>(), operation.schema::<B>()]
    }
}

macro_rules! one_place {
    ($($word:ty),*) => {$(
        impl Places for $word {
            fn schemas(operation: &mut Operation<'_>) -> Vec<Value> {
                <($word,)>::schemas(operation)
            }
        }
    )*};
}

one_place!(String, access::words::ConnectorName);

impl<T: Places> Takes for Path<T> {
    fn tell(operation: &mut Operation<'_>) {
        let names = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        for (name, schema) in names.zip(T::schemas(operation)) {
            operation.parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
        }
    }
}

impl<T: JsonSchema> Gives for Json<T> {
    fn tell(operation: &mut Operation<'_>) {
        operation.gives::<T>();
    }
}

impl<T: JsonSchema> Gives for Secret<T> {
    fn tell(operation: &mut Operation<'_>) {
        operation.gives::<T>();
    }
}

/// Says nothing: the table of routes does.
impl Gives for Response {
    fn tell(_: &mut Operation<'_>) {}
}

/// The default answer of every operation is a problem, and is told once for all.
impl<T: Gives> Gives for Result<T, No> {
    fn tell(operation: &mut Operation<'_>) {
        T::tell(operation);
    }
}
