use super::Problem;
use actix_web::http::Method;
use actix_web::web::Payload;
use actix_web::{HttpResponse, Resource, Route, web};

async fn no_such_method(allowed: String, payload: Payload) -> Result<HttpResponse, Problem> {
    let problem = Problem::new(
        405,
        "method_not_allowed",
        "this method is not for this path; Allow says which are",
        "该路径不支持此方法；请见 Allow",
    );
    Err(problem.header("Allow", allowed).hang_up_on(&mut payload.into_inner()))
}

/// A resource at `path` that answers the methods given, HEAD wherever GET,
/// and 405 with `Allow` to any other.
pub fn resource<const N: usize>(path: &str, routes: [(Method, fn() -> Route); N]) -> Resource {
    let mut allowed: Vec<&str> = routes.iter().map(|(method, _)| method.as_str()).collect();
    if allowed.contains(&"GET") {
        allowed.push("HEAD");
    }
    let allowed = allowed.join(", ");
    let other = move |payload: Payload| no_such_method(allowed.clone(), payload);
    let mut resource = web::resource(path).default_service(web::to(other));
    for (method, route) in routes {
        if method == Method::GET {
            resource = resource.route(route().method(Method::HEAD));
        }
        resource = resource.route(route().method(method));
    }
    resource
}
