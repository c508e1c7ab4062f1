//! A value cannot become an answer: neither Serialize, nor a response body,
//! nor a responder, nor anything that actix takes for one.
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
