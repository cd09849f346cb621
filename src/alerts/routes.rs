use super::answer::{now_json, rule_json};
use super::form::NewRule;
use super::manage::{self, Begun};
use super::rule::{Kind, Rule, Spec, Status, Target};
use super::{Config, explain, past, simulate, store};
use crate::auth::{Caller, Role};
use crate::clock::{Clock, Millis};
use crate::db::{self, Conn, Db};
use crate::events;
use crate::http::{Params, Problem, resource};
use crate::refusal::Refusal;
use crate::writes::{Answer, UserWrite};
use actix_web::http::Method;
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use utoipa::OpenApi;

/// What is answered here, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(paths(
    get_alerts,
    post_alert,
    get_alert,
    put_alert,
    delete_alert,
    post_pause,
    post_resume,
    post_rearm,
    get_explain,
    post_simulate
))]
pub struct Docs;

/// How far back the extremes in an answer go, in milliseconds.
const EXTREMES: Millis = 90 * 86_400_000;

/// `/v1/alerts…`.
pub fn routes(service: &mut ServiceConfig) {
    service
        .service(resource(
            "/v1/alerts",
            [(Method::GET, || web::to(get_alerts)), (Method::POST, || web::to(post_alert))],
        ))
        .service(resource("/v1/alerts/simulate", [(Method::POST, || web::to(post_simulate))]))
        .service(resource(
            "/v1/alerts/{id}",
            [
                (Method::GET, || web::to(get_alert)),
                (Method::PUT, || web::to(put_alert)),
                (Method::DELETE, || web::to(delete_alert)),
            ],
        ))
        .service(resource("/v1/alerts/{id}/pause", [(Method::POST, || web::to(post_pause))]))
        .service(resource("/v1/alerts/{id}/resume", [(Method::POST, || web::to(post_resume))]))
        .service(resource("/v1/alerts/{id}/rearm", [(Method::POST, || web::to(post_rearm))]))
        .service(resource("/v1/alerts/{id}/explain", [(Method::GET, || web::to(get_explain))]));
}

fn answer(body: &Value) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-store"))
        .body(format!("{body}\n"))
}

/// The number of a rule. What is none is answered as one that is not there.
fn number(text: &str) -> Result<i64, Refusal> {
    text.parse().ok().filter(|id| *id > 0).ok_or_else(|| manage::unknown_rule(0))
}

fn role(caller: &Caller) -> Role {
    caller.identity().map_or(Role::Shopper, |identity| identity.role)
}

fn shown(conn: &mut Conn, rule: &Rule) -> db::Result<Value> {
    Ok(rule_json(rule, &store::states(conn, rule.id)?))
}

/// The rule `id` of `user`, or the answer that there is none.
fn find(conn: &mut Conn, user: &str, id: i64) -> events::Result<Rule> {
    store::rule_of(conn, user, id)?.ok_or_else(|| manage::unknown_rule(id).into())
}

/// `GET /v1/alerts`: the caller's rules, newest first.
#[utoipa::path(
    get, path = "/v1/alerts", tag = "user", security(("bearer" = [])),
    params(
        ("status" = Option<String>, Query, description = "active, paused, expired, done or gone"),
        ("after" = Option<i64>, Query, description = "`next` of the page before"),
        ("limit" = Option<i64>, Query, description = "1 to 200, default 50"),
    ),
    responses((status = 200, description = "A page of rules", body = Object))
)]
async fn get_alerts(
    request: HttpRequest,
    caller: Caller,
    db: Data<Db>,
) -> Result<HttpResponse, Problem> {
    let user = caller.user()?.to_owned();
    let mut params = Params::parse(request.query_string());
    let status = params.take_one_of("status", &Status::ALL.map(Status::as_str))?;
    let after = params.take_number("after", 1, i64::MAX)?;
    let limit = params.take_number("limit", 1, 200)?.unwrap_or(50);
    params.finish()?;
    let read = move |conn: &mut Conn| {
        let mut rules =
            store::rules_of(conn, &user, status.and_then(Status::find), after, limit + 1)?;
        let more = rules.len() as i64 > limit;
        rules.truncate(limit as usize);
        let next = rules.last().filter(|_| more).map(|rule| rule.id);
        let shown: db::Result<Vec<Value>> = rules.iter().map(|rule| shown(conn, rule)).collect();
        Ok::<_, db::Error>(json!({ "alerts": shown?, "next": next }))
    };
    Ok(answer(&db.read(read).await?))
}

/// `POST /v1/alerts`: makes a rule, and says what it would do now.
#[utoipa::path(
    post, path = "/v1/alerts", tag = "user", security(("bearer" = [])),
    request_body(content = NewRule, example = json!({
        "product": "7542-2003", "op": "lte", "price": "98.00"
    })),
    responses((status = 201, description = "The rule, and what it does now", body = Object))
)]
async fn post_alert(
    write: UserWrite,
    db: Data<Db>,
    clock: Data<Clock>,
    config: Data<Config>,
) -> Result<HttpResponse, Problem> {
    let UserWrite { user, mut write } = write;
    let body: NewRule = write.body()?;
    std::mem::take(&mut write.params).finish()?;
    let spec = body.check(role(&write.caller), clock.now(), None)?;
    let extremes = extremes(&db, &spec, clock.now()).await?;
    write
        .perform(1, move |tx| {
            let (rule, begun) = manage::create(tx, &user, &spec, &config)?;
            let rule_json = shown(tx.read(), &rule)?;
            Ok(Answer::created(&made(rule_json, &rule.spec, &begun, extremes)))
        })
        .await
}

fn made(rule: Value, spec: &Spec, begun: &[Begun], extremes: (Option<i64>, Option<i64>)) -> Value {
    json!({ "alert": rule, "now": now_json(spec, begun, extremes) })
}

/// The lowest and highest price of the one product that a rule is about.
async fn extremes(
    db: &Db,
    spec: &Spec,
    now: Millis,
) -> Result<(Option<i64>, Option<i64>), Problem> {
    let (Target::Product(product), Kind::Price) = (&spec.target, spec.condition.op.kind()) else {
        return Ok((None, None));
    };
    let product = product.clone();
    Ok(db.read(move |conn| past::extremes(conn, &product, now - EXTREMES, now + 1)).await?)
}

/// `GET /v1/alerts/{id}`.
#[utoipa::path(
    get, path = "/v1/alerts/{id}", tag = "user", security(("bearer" = [])),
    params(("id" = i64, Path)),
    responses((status = 200, description = "The rule", body = Object))
)]
async fn get_alert(
    request: HttpRequest,
    id: Path<String>,
    caller: Caller,
    db: Data<Db>,
) -> Result<HttpResponse, Problem> {
    let user = caller.user()?.to_owned();
    Params::parse(request.query_string()).finish()?;
    let id = number(&id)?;
    let read = move |conn: &mut Conn| {
        let rule = find(conn, &user, id)?;
        Ok::<_, events::Error>(shown(conn, &rule)?)
    };
    Ok(answer(&db.read(read).await?))
}

/// `PUT /v1/alerts/{id}`: replaces a rule. An edit of its note, channels or
/// cooldown alone leaves it where it stands; any other begins it anew.
#[utoipa::path(
    put, path = "/v1/alerts/{id}", tag = "user", security(("bearer" = [])),
    params(("id" = i64, Path)), request_body = NewRule,
    responses((status = 200, description = "The rule, and what it does now", body = Object))
)]
async fn put_alert(
    id: Path<String>,
    write: UserWrite,
    db: Data<Db>,
    clock: Data<Clock>,
    config: Data<Config>,
) -> Result<HttpResponse, Problem> {
    let UserWrite { user, mut write } = write;
    let body: NewRule = write.body()?;
    std::mem::take(&mut write.params).finish()?;
    let id = number(&id)?;
    let (owner, now) = (user.clone(), clock.now());
    let before = db.read(move |conn| find(conn, &owner, id)).await?;
    let spec = body.check(role(&write.caller), now, Some(&before.spec))?;
    let extremes = extremes(&db, &spec, now).await?;
    write
        .perform(1, move |tx| {
            let (rule, begun) = manage::edit(tx, &user, id, &spec, &config)?;
            let rule_json = shown(tx.read(), &rule)?;
            Ok(Answer::ok(&match begun {
                Some(begun) => made(rule_json, &rule.spec, &begun, extremes),
                None => json!({ "alert": rule_json, "now": null }),
            }))
        })
        .await
}

/// `DELETE /v1/alerts/{id}`.
#[utoipa::path(
    delete, path = "/v1/alerts/{id}", tag = "user", security(("bearer" = [])),
    params(("id" = i64, Path)),
    responses((status = 200, description = "It is gone", body = Object))
)]
async fn delete_alert(id: Path<String>, write: UserWrite) -> Result<HttpResponse, Problem> {
    let UserWrite { user, mut write } = write;
    std::mem::take(&mut write.params).finish()?;
    let id = number(&id)?;
    write
        .perform(1, move |tx| {
            manage::delete(tx, &user, id)?;
            Ok(Answer::ok(&json!({ "id": id, "deleted": true })))
        })
        .await
}

/// `POST /v1/alerts/{id}/pause`.
#[utoipa::path(
    post, path = "/v1/alerts/{id}/pause", tag = "user", security(("bearer" = [])),
    params(("id" = i64, Path)),
    responses((status = 200, description = "It looks out no more", body = Object))
)]
async fn post_pause(id: Path<String>, write: UserWrite) -> Result<HttpResponse, Problem> {
    let UserWrite { user, mut write } = write;
    std::mem::take(&mut write.params).finish()?;
    let id = number(&id)?;
    write
        .perform(1, move |tx| {
            let rule = manage::pause(tx, &user, id)?;
            Ok(Answer::ok(&json!({ "alert": shown(tx.read(), &rule)? })))
        })
        .await
}

/// `POST /v1/alerts/{id}/resume`.
#[utoipa::path(
    post, path = "/v1/alerts/{id}/resume", tag = "user", security(("bearer" = [])),
    params(("id" = i64, Path)),
    responses((status = 200, description = "It looks out again", body = Object))
)]
async fn post_resume(
    id: Path<String>,
    write: UserWrite,
    config: Data<Config>,
) -> Result<HttpResponse, Problem> {
    let UserWrite { user, mut write } = write;
    std::mem::take(&mut write.params).finish()?;
    let id = number(&id)?;
    write
        .perform(1, move |tx| {
            let (rule, begun) = manage::resume(tx, &user, id, &config)?;
            let rule_json = shown(tx.read(), &rule)?;
            Ok(Answer::ok(&made(rule_json, &rule.spec, &begun, (None, None))))
        })
        .await
}

/// `POST /v1/alerts/{id}/rearm`.
#[utoipa::path(
    post, path = "/v1/alerts/{id}/rearm", tag = "user", security(("bearer" = [])),
    params(("id" = i64, Path)),
    responses((status = 200, description = "It looks out again", body = Object))
)]
async fn post_rearm(
    id: Path<String>,
    write: UserWrite,
    config: Data<Config>,
) -> Result<HttpResponse, Problem> {
    let UserWrite { user, mut write } = write;
    std::mem::take(&mut write.params).finish()?;
    let id = number(&id)?;
    write
        .perform(1, move |tx| {
            let rule = manage::rearm(tx, &user, id, &config)?;
            Ok(Answer::ok(&json!({ "alert": shown(tx.read(), &rule)? })))
        })
        .await
}

/// `GET /v1/alerts/{id}/explain`: why it fired, or why it does not.
#[utoipa::path(
    get, path = "/v1/alerts/{id}/explain", tag = "user", security(("bearer" = [])),
    params(("id" = i64, Path)),
    responses((status = 200, description = "Where it stands, and its last evaluations", body = Object))
)]
async fn get_explain(
    request: HttpRequest,
    id: Path<String>,
    caller: Caller,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    let user = caller.user()?.to_owned();
    Params::parse(request.query_string()).finish()?;
    let (id, now) = (number(&id)?, clock.now());
    let read = move |conn: &mut Conn| {
        let rule = find(conn, &user, id)?;
        let mut told = explain::explain(conn, &rule, now)?;
        told["alert"] = shown(conn, &rule)?;
        Ok::<_, events::Error>(told)
    };
    Ok(answer(&db.read(read).await?))
}

/// `POST /v1/alerts/simulate?days=90`: when a rule would have fired. Nothing is
/// kept of it.
#[utoipa::path(
    post, path = "/v1/alerts/simulate", tag = "user", security(("bearer" = [])),
    params(("days" = Option<i64>, Query, description = "How far back, 1 to 365, default 90")),
    request_body = NewRule,
    responses((status = 200, description = "Its firings", body = Object))
)]
async fn post_simulate(
    write: UserWrite,
    db: Data<Db>,
    clock: Data<Clock>,
    config: Data<Config>,
) -> Result<HttpResponse, Problem> {
    let UserWrite { mut write, .. } = write;
    let body: NewRule = write.body()?;
    let mut params = std::mem::take(&mut write.params);
    let days = params.take_number("days", 1, 365)?.unwrap_or(90);
    params.finish()?;
    write.limits().writes.check(write.caller.actor(), 10)?;
    let now = clock.now();
    let spec = body.check(role(&write.caller), now, None)?;
    if !simulate::has_values(&spec) {
        return Err(Refusal::invalid(
            "market",
            "no_history",
            "the past of an index is not kept",
            "指数没有保存历史",
        )
        .into());
    }
    let read = move |conn: &mut Conn| simulate::simulate(conn, &spec, &config, days, now);
    Ok(answer(&db.read(read).await?))
}
