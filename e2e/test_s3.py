"""S3, as far as tasks need it, by boto3 and by `aws s3`."""

import hashlib
import json
import urllib.error
import urllib.request

import boto3
import botocore.config
import pytest

from lib import server
from lib.tasks import fresh

MIB = 1 << 20


@pytest.fixture
def s3(wharf):
    return wharf.client("s3")


@pytest.fixture
def bucket(s3):
    name = fresh("bucket")
    s3.create_bucket(Bucket=name)
    return name


def refused(call, code, **words):
    with pytest.raises(Exception) as caught:
        call(**words)
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    return error.get("Message")


def test_an_object_comes_back_as_it_went(s3, bucket):
    body = b"A=1\nB=2\n"
    put = s3.put_object(Bucket=bucket, Key="env/web.env", Body=body, ContentType="text/plain", Metadata={"who": "me"})
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="env/web.env")
    assert got["Body"].read() == body
    assert (got["ContentType"], got["Metadata"], got["ContentLength"]) == ("text/plain", {"who": "me"}, 8)
    assert s3.get_object(Bucket=bucket, Key="env/web.env", Range="bytes=2-3")["Body"].read() == b"1\n"
    assert s3.head_object(Bucket=bucket, Key="env/web.env")["ETag"] == put["ETag"]
    refused(s3.get_object, "304", Bucket=bucket, Key="env/web.env", IfNoneMatch=put["ETag"])
    refused(s3.get_object, "PreconditionFailed", Bucket=bucket, Key="env/web.env", IfMatch='"x"')
    refused(s3.put_object, "PreconditionFailed", Bucket=bucket, Key="env/web.env", Body=b"", IfNoneMatch="*")
    refused(s3.get_object, "InvalidRange", Bucket=bucket, Key="env/web.env", Range="bytes=8-")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/env/web.env")
    s3.delete_object(Bucket=bucket, Key="env/web.env")
    refused(s3.get_object, "NoSuchKey", Bucket=bucket, Key="env/web.env")
    refused(s3.head_object, "404", Bucket=bucket, Key="env/web.env")
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == body


@pytest.mark.parametrize("key", ["a b", "a+b%", "../../etc/passwd", "ä/ö", "a//b", "./c", "q?x=1&y", "(x)!*'~"])
def test_any_name_is_a_name(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]})
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_checksums_are_verified_and_told(s3, bucket, algorithm):
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"123456789", ChecksumAlgorithm=algorithm)
    told = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert told[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]
    assert told["Body"].read() == b"123456789"
    refused(s3.put_object, "BadDigest", Bucket=bucket, Key="k", Body=b"x", ChecksumSHA256="A" * 43 + "=")
    refused(s3.put_object, "BadDigest", Bucket=bucket, Key="k", Body=b"x", ContentMD5="A" * 22 + "==")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"123456789"


def test_lists_have_prefixes_and_pages(s3, bucket):
    for key in ["a", "b/1", "b/2", "c/x/1", "d"]:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 1})
    seen = [[o["Key"] for o in p.get("Contents", [])] + [c["Prefix"] for c in p.get("CommonPrefixes", [])] for p in pages]
    assert seen == [["a"], ["b/"], ["c/"], ["d"]]
    old = s3.get_paginator("list_objects").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
    assert [o["Key"] for p in old for o in p["Contents"]] == ["a", "b/1", "b/2", "c/x/1", "d"]
    below = s3.list_objects_v2(Bucket=bucket, Prefix="b/", StartAfter="b/1")
    assert [o["Key"] for o in below["Contents"]] == ["b/2"]
    assert s3.list_objects_v2(Bucket=bucket, Prefix="nope")["KeyCount"] == 0


def test_buckets(s3, bucket):
    assert bucket in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    s3.head_bucket(Bucket=bucket)
    refused(s3.create_bucket, "BucketAlreadyOwnedByYou", Bucket=bucket)
    refused(s3.create_bucket, "InvalidBucketName", Bucket="a..b")
    refused(s3.head_bucket, "404", Bucket="none-such")
    refused(s3.list_objects_v2, "NoSuchBucket", Bucket="none-such")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    refused(s3.delete_bucket, "BucketNotEmpty", Bucket=bucket)
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    refused(s3.put_object, "NoSuchBucket", Bucket=bucket, Key="k", Body=b"x")


def test_parts_become_one_object(s3, bucket):
    parts = [bytes([n]) * (5 * MIB) for n in (1, 2)] + [b"end"]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="big", ChecksumAlgorithm="CRC32")["UploadId"]
    told = []
    for number, body in enumerate(parts, 1):
        part = s3.upload_part(Bucket=bucket, Key="big", UploadId=upload, PartNumber=number, Body=body, ChecksumAlgorithm="CRC32")
        told.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]})
    assert len(s3.list_parts(Bucket=bucket, Key="big", UploadId=upload)["Parts"]) == 3
    words = {"Bucket": bucket, "Key": "big", "UploadId": upload}
    refused(s3.complete_multipart_upload, "InvalidPartOrder", **words, MultipartUpload={"Parts": told[::-1]})
    refused(s3.complete_multipart_upload, "InvalidPart", **words, MultipartUpload={"Parts": [{**told[0], "ETag": '"x"'}]})
    done = s3.complete_multipart_upload(**words, MultipartUpload={"Parts": told})
    whole = hashlib.md5(b"".join(hashlib.md5(p).digest() for p in parts)).hexdigest()
    assert done["ETag"] == f'"{whole}-3"' and done["ChecksumCRC32"].endswith("-3")
    assert s3.get_object(Bucket=bucket, Key="big")["Body"].read() == b"".join(parts)
    across = s3.get_object(Bucket=bucket, Key="big", Range=f"bytes={5 * MIB - 2}-{5 * MIB + 1}")
    assert across["Body"].read() == b"\x01\x01\x02\x02"
    refused(s3.list_parts, "NoSuchUpload", **words)
    other = s3.create_multipart_upload(Bucket=bucket, Key="other")["UploadId"]
    s3.abort_multipart_upload(Bucket=bucket, Key="other", UploadId=other)
    refused(s3.abort_multipart_upload, "NoSuchUpload", Bucket=bucket, Key="other", UploadId=other)


def test_urls_can_be_presigned(wharf, s3, bucket):
    def request(url, method, body=None):
        with urllib.request.urlopen(urllib.request.Request(url, method=method, data=body), timeout=30) as answer:
            return answer.read()
    client = signer(wharf)
    request(client.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "a b"}), "PUT", b"hello")
    url = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a b"})
    assert request(url, "GET") == b"hello"
    with pytest.raises(urllib.error.HTTPError) as caught:
        request(url.replace("a%20b", "a%20c"), "GET")
    assert caught.value.code == 403 and b"SignatureDoesNotMatch" in caught.value.read()


def signer(wharf, secret=None, **settings):
    config = botocore.config.Config(signature_version="s3v4", retries={"max_attempts": 0}, **settings)
    return boto3.session.Session().client(
        "s3", endpoint_url=settings.pop("endpoint", wharf.endpoint), region_name="us-east-1", config=config,
        aws_access_key_id=wharf.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=secret or wharf.env["AWS_SECRET_ACCESS_KEY"])


def test_a_wrong_key_and_what_is_not_built_are_refused(wharf, s3, bucket):
    wrong = signer(wharf, secret="x" * 40)
    refused(wrong.list_buckets, "SignatureDoesNotMatch")
    message = refused(s3.get_bucket_versioning, "NotImplemented", Bucket=bucket)
    assert "GetBucketVersioning" in message
    message = refused(s3.put_object, "NotImplemented", Bucket=bucket, Key="k", Body=b"", ServerSideEncryption="aws:kms")
    assert "x-amz-server-side-encryption" in message
    refused(s3.put_object, "NotImplemented", Bucket=bucket, Key="k", Body=b"", ACL="public-read")


def test_a_body_that_is_signed_in_chunks(wharf, s3, bucket):
    # What SDKs do over TLS: the checksum comes behind the body.
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    from lib.signed import send
    body = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
    def put(body):
        headers = {"Host": f"127.0.0.1:{wharf.port}", "X-Amz-Content-SHA256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
                   "X-Amz-Decoded-Content-Length": "5", "X-Amz-Trailer": "x-amz-checksum-crc32", "Content-Encoding": "aws-chunked"}
        request = AWSRequest("PUT", f"{wharf.endpoint}/{bucket}/k", headers=headers)
        class Auth(SigV4Auth):
            def payload(self, request):
                return "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
        Auth(Credentials(wharf.env["AWS_ACCESS_KEY_ID"], wharf.env["AWS_SECRET_ACCESS_KEY"]), "s3", "us-east-1").add_auth(request)
        sent = {k: v.decode() if isinstance(v, bytes) else v for k, v in request.headers.items()}
        return send(wharf, "PUT", f"/{bucket}/k", sent | {"Content-Length": str(len(body))}, body)
    answer = put(body)
    assert answer.status == 200, answer
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == b"hello" and "ContentEncoding" not in got
    answer = put(body.replace(b"NhCmhg", b"AAAAAA"))
    assert answer.status == 400 and b"BadDigest" in answer.body, answer
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"hello"


def test_a_bucket_may_be_the_name_of_the_host(wharf, s3, bucket):
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    from lib.signed import send
    s3.put_object(Bucket=bucket, Key="healthz", Body=b"mine")
    for host in [f"{bucket}.localhost", f"{bucket}.s3.localhost", f"{bucket}.s3.us-east-1.localhost"]:
        request = AWSRequest("GET", f"http://{host}:{wharf.port}/healthz", headers={"Host": f"{host}:{wharf.port}"})
        S3SigV4Auth(Credentials(wharf.env["AWS_ACCESS_KEY_ID"], wharf.env["AWS_SECRET_ACCESS_KEY"]), "s3", "us-east-1").add_auth(request)
        answer = send(wharf, "GET", "/healthz", dict(request.headers.items()), None)
        assert (answer.status, answer.body) == (200, b"mine"), host
    assert wharf.get("/healthz")[1] == "alive\n"


def test_a_role_does_what_its_policy_says_and_no_more(wharf, s3, bucket, name):
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
    secrets, ssm = wharf.client("secretsmanager"), wharf.client("ssm")
    mine, other = (secrets.create_secret(Name=f"{name}-{n}", SecretString=n)["ARN"] for n in ("mine", "other"))
    may = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/env/*"},
        {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": mine},
        {"Effect": "Allow", "Action": "ssm:GetParameters", "Resource": "*"}]}
    iam = wharf.client("iam")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(may))
    given = wharf.client("sts").assume_role(RoleArn=role, RoleSessionName="reader")["Credentials"]
    def client(service):
        return boto3.session.Session().client(
            service, endpoint_url=wharf.endpoint, region_name="us-east-1", aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"], aws_session_token=given["SessionToken"])
    s3.put_object(Bucket=bucket, Key="env/a", Body=b"A=1")
    s3.put_object(Bucket=bucket, Key="b", Body=b"B=1")
    theirs = client("s3")
    assert theirs.get_object(Bucket=bucket, Key="env/a")["Body"].read() == b"A=1"
    refused(theirs.get_object, "AccessDenied", Bucket=bucket, Key="b")
    refused(theirs.put_object, "AccessDenied", Bucket=bucket, Key="env/a", Body=b"")
    left = theirs.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "env/a"}]})
    assert left["Errors"][0]["Code"] == "AccessDenied" and "Deleted" not in left
    assert client("secretsmanager").get_secret_value(SecretId=mine)["SecretString"] == "mine"
    refused(client("secretsmanager").get_secret_value, "AccessDeniedException", SecretId=other)
    by = f"/aws/reference/secretsmanager/{name}-"
    got = client("ssm").get_parameters(Names=[by + "mine"], WithDecryption=True)
    assert got["Parameters"][0]["Value"] == "mine"
    refused(client("ssm").get_parameters, "AccessDeniedException", Names=[by + "other"], WithDecryption=True)
    assert ssm.get_parameters(Names=[by + "other"], WithDecryption=True)["Parameters"][0]["Value"] == "other"


def test_by_aws_s3(wharf, name, tmp_path):
    bucket = fresh("cli")
    assert wharf.aws("s3", "mb", f"s3://{bucket}") == f"make_bucket: {bucket}"
    small, big = tmp_path / "small.env", tmp_path / "big"
    small.write_text("A=1\n")
    big.write_bytes(bytes(range(256)) * (4096 * 9))  # 9 MiB: in parts
    wharf.aws("s3", "cp", small, f"s3://{bucket}/conf/small.env")
    wharf.aws("s3", "cp", big, f"s3://{bucket}/big")
    listing = wharf.aws("s3", "ls", f"s3://{bucket}/")
    assert "PRE conf/" in listing and str(9 * MIB) in listing
    assert bucket in wharf.aws("s3", "ls")
    back = tmp_path / "back"
    wharf.aws("s3", "cp", f"s3://{bucket}/big", back)
    assert back.read_bytes() == big.read_bytes()
    assert wharf.aws("s3", "cp", f"s3://{bucket}/conf/small.env", "-") == "A=1"
    wharf.aws("s3", "cp", f"s3://{bucket}/conf/small.env", f"s3://{bucket}/other.env")
    wharf.aws("s3", "rm", f"s3://{bucket}/big")
    wharf.aws("s3", "rm", f"s3://{bucket}/", "--recursive")
    wharf.aws("s3", "rb", f"s3://{bucket}")
    assert bucket not in wharf.aws("s3", "ls")


def test_acknowledged_objects_survive_kill_9_and_deleted_content_goes(tmp_path):
    with server.running(tmp_path / "data") as own:
        s3 = own.client("s3")
        s3.create_bucket(Bucket="kept")
        for n in range(8):
            s3.put_object(Bucket="kept", Key=f"k{n}", Body=f"content {n}".encode())
        s3.put_object(Bucket="kept", Key="again", Body=b"content 0")
        s3.delete_object(Bucket="kept", Key="k0")
        s3.delete_object(Bucket="kept", Key="k1")
        own.kill()
        own.start()
        got = {o["Key"]: s3.get_object(Bucket="kept", Key=o["Key"])["Body"].read() for o in s3.list_objects_v2(Bucket="kept")["Contents"]}
        assert got == {f"k{n}": f"content {n}".encode() for n in range(2, 8)} | {"again": b"content 0"}
        files = [p for p in (own.data / "objects" / "blobs").rglob("*") if p.is_file()]
        assert len(files) == 7
