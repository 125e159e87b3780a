"""Certificates by real clients: imported, requested, held against what they claim, used, deleted."""

import datetime
import json
import socket
import ssl
import subprocess

import botocore.exceptions
import pytest

from lib.server import free_port
from lib.tasks import fresh
from lib.wait import eventually


@pytest.fixture
def acm(wharf):
    return wharf.client("acm")


def refused(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]


class Authority:
    """A certificate authority of this test's own."""

    def __init__(self, folder):
        self.folder = folder
        self.run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
                 "-days", "2", "-subj", "/CN=Test CA")

    def run(self, *words):
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)

    def read(self, name):
        return (self.folder / name).read_bytes()

    def sign(self, name, *days, key=("-newkey", "rsa:2048")):
        """Key and certificate for a name."""
        self.run("req", *key, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (self.folder / "ext").write_text(f"subjectAltName=DNS:{name},DNS:*.{name}\n")
        self.run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                 "-out", f"{name}.pem", *(days or ("-days", "2")), "-extfile", "ext")
        return self.read(f"{name}.key"), self.read(f"{name}.pem")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def test_a_certificate_is_imported_and_told(acm, authority):
    key, body = authority.sign("shop.example.com")
    arn = acm.import_certificate(Certificate=body, PrivateKey=key, CertificateChain=authority.read("ca.pem"),
                                 Tags=[{"Key": "team", "Value": "shop"}])["CertificateArn"]
    told = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert told["DomainName"] == "shop.example.com" and told["Type"] == "IMPORTED"
    assert set(told["SubjectAlternativeNames"]) == {"shop.example.com", "*.shop.example.com"}
    assert (told["Status"], told["KeyAlgorithm"]) == ("ISSUED", "RSA_2048")
    assert told["Issuer"] == "CN=Test CA" and told["InUseBy"] == []
    assert told["NotBefore"] < datetime.datetime.now(datetime.timezone.utc) < told["NotAfter"]
    got = acm.get_certificate(CertificateArn=arn)
    assert got["Certificate"].strip() == body.decode().strip()
    assert got["CertificateChain"].strip() == authority.read("ca.pem").decode().strip()
    assert acm.list_tags_for_certificate(CertificateArn=arn)["Tags"] == [{"Key": "team", "Value": "shop"}]
    assert arn in [c["CertificateArn"] for c in acm.list_certificates()["CertificateSummaryList"]]
    # A newer one takes its place, under the same ARN.
    key, body = authority.sign("shop.example.com", key=("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"))
    assert acm.import_certificate(CertificateArn=arn, Certificate=body, PrivateKey=key)["CertificateArn"] == arn
    assert acm.describe_certificate(CertificateArn=arn)["Certificate"]["KeyAlgorithm"] == "EC_prime256v1"
    acm.add_tags_to_certificate(CertificateArn=arn, Tags=[{"Key": "a", "Value": "1"}])
    acm.remove_tags_from_certificate(CertificateArn=arn, Tags=[{"Key": "team"}])
    assert acm.list_tags_for_certificate(CertificateArn=arn)["Tags"] == [{"Key": "a", "Value": "1"}]
    acm.delete_certificate(CertificateArn=arn)
    assert refused(acm.describe_certificate, CertificateArn=arn)["Code"] == "ResourceNotFoundException"


def test_what_does_not_fit_is_refused(acm, authority):
    key, body = authority.sign("one.example.com")
    other, _ = authority.sign("two.example.com")
    _, past = authority.sign("past.example.com", "-not_before", "20200101000000Z", "-not_after", "20200102000000Z") \
        if "-not_before" in _options() else (None, None)
    cases = [
        (dict(Certificate=body, PrivateKey=other), "do not match"),
        (dict(Certificate=b"nothing", PrivateKey=key), "PEM"),
        (dict(Certificate=body, PrivateKey=b"nothing"), "private key"),
        (dict(Certificate=body + authority.read("ca.pem"), PrivateKey=key), "only one"),
        (dict(Certificate=body, PrivateKey=key, CertificateChain=body), "not in order"),
    ]
    if past:
        cases.append((dict(Certificate=past, PrivateKey=authority.read("past.example.com.key")), "expired"))
    for arguments, words in cases:
        error = refused(acm.import_certificate, **arguments)
        assert error["Code"] == "ValidationException" and words in error["Message"], error


def _options():
    return subprocess.run(["openssl", "x509", "-help"], capture_output=True, text=True).stderr


def test_one_on_request_is_issued_at_once(acm, authority):
    token = fresh("t").replace("-", "")[:32]
    ask = dict(DomainName="app.example.com", SubjectAlternativeNames=["*.app.example.com"],
               ValidationMethod="DNS", IdempotencyToken=token)
    arn = acm.request_certificate(**ask)["CertificateArn"]
    assert acm.request_certificate(**ask)["CertificateArn"] == arn
    acm.get_waiter("certificate_validated").wait(CertificateArn=arn, WaiterConfig={"Delay": 1, "MaxAttempts": 2})
    told = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert (told["Status"], told["Type"], told["KeyAlgorithm"]) == ("ISSUED", "AMAZON_ISSUED", "EC_prime256v1")
    assert told["Issuer"] == told["Subject"] == "CN=app.example.com"
    assert told["NotAfter"] - told["NotBefore"] >= datetime.timedelta(days=395)
    body = acm.get_certificate(CertificateArn=arn)["Certificate"]
    (authority.folder / "asked.pem").write_text(body)
    shown = subprocess.run(["openssl", "x509", "-in", "asked.pem", "-noout", "-text"], cwd=authority.folder,
                           check=True, capture_output=True, text=True).stdout
    assert "DNS:*.app.example.com" in shown and "TLS Web Server Authentication" in shown
    error = refused(acm.request_certificate, DomainName="app.example.com", KeyAlgorithm="RSA_2048")
    assert error["Code"] == "ValidationException" and "EC_prime256v1" in error["Message"]
    acm.delete_certificate(CertificateArn=arn)


def test_an_imported_one_ends_tls(wharf, acm, authority):
    key, body = authority.sign("secure.example.com")
    arn = acm.import_certificate(Certificate=body, PrivateKey=key, CertificateChain=authority.read("ca.pem"))[
        "CertificateArn"]
    elb, ec2, port = wharf.client("elbv2"), wharf.client("ec2"), free_port()
    subnets = [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"]]
    [balancer] = elb.create_load_balancer(Name=fresh("tls"), Subnets=subnets)["LoadBalancers"]
    fixed = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "MessageBody": "sealed"}}
    elb.create_listener(LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTPS", Port=port,
                        Certificates=[{"CertificateArn": arn}], DefaultActions=[fixed])
    trust = ssl.create_default_context(cafile=authority.folder / "ca.pem")

    def ask():
        with socket.create_connection(("127.0.0.1", port), timeout=30) as plain, \
                trust.wrap_socket(plain, server_hostname="secure.example.com") as link:
            link.sendall(b"GET / HTTP/1.1\r\nHost: secure.example.com\r\nConnection: close\r\n\r\n")
            answer = b""
            while part := link.recv(4096):
                answer += part
            return answer

    def served():
        try:
            return b"sealed" in ask()
        except OSError:
            return False
    try:
        assert eventually(served, within=10)
    finally:
        elb.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    acm.delete_certificate(CertificateArn=arn)


def test_one_in_use_stays(wharf, acm):
    arn = acm.request_certificate(DomainName="used.example.com")["CertificateArn"]
    elb, ec2, name = wharf.client("elbv2"), wharf.client("ec2"), fresh("acm")
    subnets = [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"]]
    [balancer] = elb.create_load_balancer(Name=name, Subnets=subnets)["LoadBalancers"]
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTPS", Port=free_port(),
        Certificates=[{"CertificateArn": arn}],
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}])
    told = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert told["InUseBy"] == [balancer["LoadBalancerArn"]]
    assert refused(acm.delete_certificate, CertificateArn=arn)["Code"] == "ResourceInUseException"
    elb.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    acm.delete_certificate(CertificateArn=arn)


def test_the_aws_cli_requests_and_lists(wharf):
    arn = json.loads(wharf.aws("acm", "request-certificate", "--domain-name", "cli.example.com"))["CertificateArn"]
    listed = json.loads(wharf.aws("acm", "list-certificates"))["CertificateSummaryList"]
    assert arn in [c["CertificateArn"] for c in listed]
    wharf.aws("acm", "delete-certificate", "--certificate-arn", arn)
