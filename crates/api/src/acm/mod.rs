//! Certificate Manager: the wire in front of the vault's certificates.
//! <https://docs.aws.amazon.com/acm/latest/APIReference/Welcome.html>
//!
//! Unlike AWS, RequestCertificate issues at once: no authority is there to validate a domain, so the
//! certificate signs itself, and clients have to trust it by hand. ListCertificates lists keys of
//! every algorithm unless `Includes` says otherwise; AWS leaves out all but RSA of 2048 bits.

mod view;

use aws::Error;
use aws::acm::{
    Acm, AddTagsToCertificateRequest, AddTagsToCertificateResponse, CertificateStatus,
    DeleteCertificateRequest, DeleteCertificateResponse, DescribeCertificateRequest,
    DescribeCertificateResponse, ErrorKind, GetCertificateRequest, GetCertificateResponse,
    ImportCertificateRequest, ImportCertificateResponse, KeyAlgorithm, ListCertificatesRequest,
    ListCertificatesResponse, ListTagsForCertificateRequest, ListTagsForCertificateResponse,
    RemoveTagsFromCertificateRequest, RemoveTagsFromCertificateResponse, RequestCertificateRequest,
    RequestCertificateResponse, SortOrder, Tag,
};
use model::State;
use vault::{
    Certificate, ImportCertificate, KeyKind, RequestCertificate, SecretValue, Tags, VaultError,
};

use crate::door::{Caller, Door};
use crate::page::{Order, Page};

/// A refusal or failure of the vault as Certificate Manager answers it.
fn error(error: &VaultError) -> Error {
    if let Some(code) = error.code() {
        return match ErrorKind::from_code(code) {
            Some(kind) => kind.with(error.to_string()),
            None => Error::new(code, 400, error.to_string()),
        };
    }
    tracing::error!(error = stdx::chain(error), "the vault failed");
    ErrorKind::InternalServerException
        .with("The vault failed, and nothing was done. The server's log says why.")
}

fn invalid(message: impl Into<String>) -> Error {
    ErrorKind::ValidationException.with(message)
}

/// Refuses a member that asks for what is not built.
fn not_built<T>(member: &str, value: Option<&T>, what: &str) -> Result<(), Error> {
    match value {
        None => Ok(()),
        Some(_) => Err(invalid(format!(
            "{member}: {what} not built yet in Wharf, and nothing was done; leave it out."
        ))),
    }
}

/// Text that the model requires and that has been checked to be there.
fn given(value: Option<String>) -> String {
    value.unwrap_or_default()
}

fn tags(list: Option<Vec<Tag>>) -> Result<Tags, Error> {
    let mut tags = Tags::new();
    for tag in list.unwrap_or_default() {
        let key = given(tag.key);
        if tags.insert(key.clone(), given(tag.value)).is_some() {
            return Err(ErrorKind::InvalidTagException
                .with(format!("The tag key \"{key}\" is given more than once.")));
        }
    }
    Ok(tags)
}

/// The ARNs of the load balancers whose listeners have a certificate.
fn users(state: &State, arn: &str) -> Vec<String> {
    let mut users: Vec<String> = state
        .balancing()
        .all_listeners()
        .filter(|listener| listener.certificates.iter().any(|own| own.as_str() == arn))
        .map(|listener| state.realm().balancer(&listener.id.balancer()))
        .collect();
    users.dedup();
    users
}

/// What a request asks to be made.
fn wanted(request: RequestCertificateRequest) -> Result<RequestCertificate, Error> {
    not_built(
        "CertificateAuthorityArn",
        request.certificate_authority_arn.as_ref(),
        "private authorities are",
    )?;
    not_built("ManagedBy", request.managed_by.as_ref(), "it is")?;
    if let Some(options) = &request.options {
        let export = options.export.as_ref().filter(|export| export.as_str() == "ENABLED");
        not_built("Options.Export", export, "ExportCertificate is")?;
    }
    let key = match &request.key_algorithm {
        None | Some(KeyAlgorithm::EcPrime256v1) => KeyKind::P256,
        Some(KeyAlgorithm::EcSecp384r1) => KeyKind::P384,
        Some(other) => {
            return Err(invalid(format!(
                "KeyAlgorithm: keys of {other} cannot be made here, and nothing was done. Ask for EC_prime256v1 \
                 or EC_secp384r1, or import a certificate of your own."
            )));
        }
    };
    let mut names = vec![given(request.domain_name)];
    for name in request.subject_alternative_names.unwrap_or_default() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(RequestCertificate {
        names,
        key,
        token: request.idempotency_token,
        tags: tags(request.tags)?,
    })
}

/// Whether a certificate is among those that a list asks for.
fn listed(request: &ListCertificatesRequest, it: &Certificate, status: &CertificateStatus) -> bool {
    let statuses = request.certificate_statuses.as_ref().filter(|all| !all.is_empty());
    let keys = request.includes.as_ref().and_then(|includes| includes.key_types.as_ref());
    let keys = keys.filter(|all| !all.is_empty());
    statuses.is_none_or(|all| all.contains(status))
        && keys.is_none_or(|all| all.iter().any(|key| key.as_str() == it.key_algorithm))
}

/// Refuses filters that are not built.
fn no_filters(request: &ListCertificatesRequest) -> Result<(), Error> {
    let Some(includes) = &request.includes else { return Ok(()) };
    not_built("Includes.keyUsage", includes.key_usage.as_ref(), "it is")?;
    not_built("Includes.extendedKeyUsage", includes.extended_key_usage.as_ref(), "it is")?;
    not_built("Includes.exportOption", includes.export_option.as_ref(), "it is")?;
    not_built("Includes.managedBy", includes.managed_by.as_ref(), "it is")
}

impl Acm for Door {
    type Context = Caller;

    async fn import_certificate(
        &self,
        _: &Caller,
        request: ImportCertificateRequest,
    ) -> Result<ImportCertificateResponse, Error> {
        let bytes = |blob: Option<aws::Blob>| blob.unwrap_or_default().0;
        let wanted = ImportCertificate {
            arn: request.certificate_arn,
            certificate: bytes(request.certificate),
            chain: request.certificate_chain.map(|blob| blob.0),
            private_key: SecretValue::binary(bytes(request.private_key)),
            tags: tags(request.tags)?,
        };
        let arn = self.config().vault.import_certificate(wanted).await.map_err(|e| error(&e))?;
        Ok(ImportCertificateResponse { certificate_arn: Some(arn) })
    }

    async fn request_certificate(
        &self,
        _: &Caller,
        request: RequestCertificateRequest,
    ) -> Result<RequestCertificateResponse, Error> {
        let wanted = wanted(request)?;
        let arn = self.config().vault.request_certificate(wanted).await.map_err(|e| error(&e))?;
        Ok(RequestCertificateResponse { certificate_arn: Some(arn) })
    }

    async fn describe_certificate(
        &self,
        _: &Caller,
        request: DescribeCertificateRequest,
    ) -> Result<DescribeCertificateResponse, Error> {
        let arn = given(request.certificate_arn);
        let it = self.config().vault.describe_certificate(&arn).await.map_err(|e| error(&e))?;
        let users = users(&self.snapshot(), &arn);
        let detail = view::detail(&it, users, self.now());
        Ok(DescribeCertificateResponse { certificate: Some(detail) })
    }

    async fn get_certificate(
        &self,
        _: &Caller,
        request: GetCertificateRequest,
    ) -> Result<GetCertificateResponse, Error> {
        let arn = given(request.certificate_arn);
        let it = self.config().vault.describe_certificate(&arn).await.map_err(|e| error(&e))?;
        Ok(GetCertificateResponse {
            certificate: Some(it.certificate),
            certificate_chain: it.chain,
        })
    }

    async fn list_certificates(
        &self,
        _: &Caller,
        request: ListCertificatesRequest,
    ) -> Result<ListCertificatesResponse, Error> {
        no_filters(&request)?;
        let all = self.config().vault.certificates().await.map_err(|e| error(&e))?;
        let (state, now) = (self.snapshot(), self.now());
        let shown = all.iter().filter(|it| listed(&request, it, &view::status(it, now)));
        let entries = shown
            .map(|it| {
                let place = format!("{:020}/{}", it.created.as_millis(), it.arn);
                (place, view::summary(it, !users(&state, &it.arn).is_empty(), now))
            })
            .collect();
        let page = Page {
            operation: "ListCertificates",
            token: request.next_token.as_deref(),
            max_results: request.max_items,
            usual: 1000,
            most: 1000,
            query: 0,
        };
        let order = match request.sort_order {
            Some(SortOrder::Descending) => Order::Descending,
            _ => Order::Ascending,
        };
        let cut = page.cut(entries, order);
        let (list, next_token) = cut.map_err(|error| invalid(error.message))?;
        Ok(ListCertificatesResponse { certificate_summary_list: Some(list), next_token })
    }

    async fn delete_certificate(
        &self,
        _: &Caller,
        request: DeleteCertificateRequest,
    ) -> Result<DeleteCertificateResponse, Error> {
        let arn = given(request.certificate_arn);
        let users = users(&self.snapshot(), &arn);
        if !users.is_empty() {
            let account = &self.realm().account;
            return Err(ErrorKind::ResourceInUseException.with(format!(
                "Certificate {arn} in account {account} is in use by {}. Take it from their listeners first.",
                users.join(", ")
            )));
        }
        self.config().vault.delete_certificate(&arn).await.map_err(|e| error(&e))?;
        Ok(DeleteCertificateResponse {})
    }

    async fn add_tags_to_certificate(
        &self,
        _: &Caller,
        request: AddTagsToCertificateRequest,
    ) -> Result<AddTagsToCertificateResponse, Error> {
        let (arn, tags) = (given(request.certificate_arn), tags(request.tags)?);
        self.config().vault.tag_certificate(&arn, tags).await.map_err(|e| error(&e))?;
        Ok(AddTagsToCertificateResponse {})
    }

    async fn remove_tags_from_certificate(
        &self,
        _: &Caller,
        request: RemoveTagsFromCertificateRequest,
    ) -> Result<RemoveTagsFromCertificateResponse, Error> {
        let arn = given(request.certificate_arn);
        let tags = request.tags.unwrap_or_default().into_iter();
        let tags = tags.map(|tag| (given(tag.key), tag.value)).collect();
        self.config().vault.untag_certificate(&arn, tags).await.map_err(|e| error(&e))?;
        Ok(RemoveTagsFromCertificateResponse {})
    }

    async fn list_tags_for_certificate(
        &self,
        _: &Caller,
        request: ListTagsForCertificateRequest,
    ) -> Result<ListTagsForCertificateResponse, Error> {
        let arn = given(request.certificate_arn);
        let it = self.config().vault.describe_certificate(&arn).await.map_err(|e| error(&e))?;
        Ok(ListTagsForCertificateResponse { tags: Some(view::tags(&it.tags)) })
    }
}
