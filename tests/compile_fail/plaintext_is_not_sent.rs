//! A value cannot be sent in a response: it implements neither Serialize nor MessageBody nor
//! Responder, and does not convert into any type that actix accepts as a body.
fn main() {}

fn json(plaintext: coffer::vault::Plaintext) -> String {
    serde_json::to_string(&plaintext).unwrap()
}

fn body(plaintext: coffer::vault::Plaintext) -> actix_web::HttpResponse {
    actix_web::HttpResponse::Ok().body(plaintext)
}

async fn responder(plaintext: coffer::vault::Plaintext) -> impl actix_web::Responder {
    plaintext
}
