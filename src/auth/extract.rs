use super::Caller;
use super::gate::{Gate, GateError};
use crate::http::Problem;
use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use std::future::Future;
use std::pin::Pin;

impl From<GateError> for Problem {
    fn from(err: GateError) -> Problem {
        match err {
            GateError::Refused(refusal) => refusal.into(),
            GateError::Db(err) => err.into(),
        }
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Caller, Problem>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let header =
            request.headers().get(AUTHORIZATION).map(|value| value.to_str().map(str::to_owned));
        // Of two, a proxy may have looked at the other one.
        let several = request.headers().get_all(AUTHORIZATION).nth(1).is_some();
        let gate = request.app_data::<Data<Gate>>().cloned();
        Box::pin(async move {
            let Some(gate) = gate else {
                return Err(Problem::internal(&std::io::Error::other("no gate in the app")));
            };
            match header {
                _ if several => Err(super::unauthorized().into()),
                None => Ok(Caller::Anonymous),
                Some(Ok(header)) => Ok(gate.recognise(Some(&header)).await?),
                Some(Err(_)) => Err(super::unauthorized().into()),
            }
        })
    }
}
