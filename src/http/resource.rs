use actix_web::http::Method;
use actix_web::{Resource, Route, web};

/// A resource at `path` that answers the methods given, HEAD wherever GET,
/// and 405 with `Allow` to any other.
pub fn resource<const N: usize>(path: &str, routes: [(Method, fn() -> Route); N]) -> Resource {
    let mut resource = web::resource(path);
    for (method, route) in routes {
        if method == Method::GET {
            resource = resource.route(route().method(Method::HEAD));
        }
        resource = resource.route(route().method(method));
    }
    resource
}
