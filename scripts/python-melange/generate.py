"""Publishes with the PyPI package melange and writes down what arrives at SQS, byte for byte.

    python generate.py <directory>

The library's own backend calls boto3; moto answers in this process, with its time and its random ids fixed, so that
the same versions write the same files.
"""

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

os.environ.update(
    AWS_ACCESS_KEY_ID="none",
    AWS_SECRET_ACCESS_KEY="none",
    AWS_DEFAULT_REGION="us-east-1",
)

import boto3
from freezegun import freeze_time
from moto import mock_aws
from moto.moto_api._internal import mock_random

from melange.backends.factory import MessagingBackendFactory
from melange.backends.sqs.sqs_backend import AWSBackend
from melange.publishers import QueuePublisher, TopicPublisher
from melange.serializers import JsonSerializer, PickleSerializer, SerializerRegistry
from melange.serializers.interfaces import Serializer


class Payment:
    """Not a dictionary: the library pickles it, as it does by default."""

    def __init__(self) -> None:
        self.reference = "p-1"


class OrderSerializer(Serializer[dict]):
    """JSON with a manifest of its own, as the library's documentation shows."""

    @staticmethod
    def identifier() -> int:
        return 7

    def manifest(self, data: dict) -> str:
        return "OrderPlaced"

    def serialize(self, data: dict) -> str:
        return json.dumps(data)


class UnnamedSerializer(OrderSerializer):
    """Without a manifest the library sends a queue no attributes; SNS refuses the empty one that it sends a topic."""

    def manifest(self, data: dict) -> None:
        return None


def registry(serializer):
    return SerializerRegistry(
        {"serializers": {"only": serializer}, "serializer_bindings": {}, "default": "only"}
    )


VALUES = {
    "object": {"orderId": "o-1", "total": 12.5, "paid": True, "coupon": None},
    "unicode": {"name": "žluťoučký 🐎", "quoted": "say \"hi\" \\ back", "lines": "a\nb\tc\u2028"},
    "nested": {"lines": [{"sku": "a", "quantity": 2}, []], "empty": {}},
    "empty object": {},
    "list": [1, 2.5, "three"],
    "text": "plain",
    "number": 17,
    "null": None,
    "an envelope inside": {"Message": "not an envelope", "MessageAttributes": {}},
    "large numbers": {"exact": 9007199254740991, "float": 1e21},
}


def received(name, value, queue_url):
    """The message as SQS gives it, without what the receipt is for."""
    sqs = boto3.client("sqs")
    (message,) = sqs.receive_message(
        QueueUrl=queue_url,
        MessageAttributeNames=["All"],
        AttributeNames=["All"],
        MaxNumberOfMessages=10,
    )["Messages"]
    sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    attributes = message["Attributes"]
    kept = ("MessageGroupId", "MessageDeduplicationId", "SentTimestamp", "ApproximateReceiveCount")
    return {
        "name": name,
        "value": value,
        "messageId": message["MessageId"],
        "body": message["Body"],
        "messageAttributes": message.get("MessageAttributes", {}),
        "attributes": {key: attributes[key] for key in kept if key in attributes},
    }


def messages(backend, destination, queue_name, publish, values):
    url = boto3.client("sqs").get_queue_url(QueueName=queue_name)["QueueUrl"]
    result = []
    for name, value in values.items():
        publish(destination, value)
        result.append(received(name, value, url))
    return result


def to_queue(serializer, values, queue="orders", **options):
    backend = AWSBackend()
    MessagingBackendFactory(backend).init_queue(queue)
    publisher = QueuePublisher(registry(serializer), backend)
    publish = lambda name, value: publisher.publish(name, value, **options)
    return messages(backend, queue, queue, publish, values)


def to_topic(serializer, values, **options):
    backend = AWSBackend()
    MessagingBackendFactory(backend).init_queue("subscribed", ["order-events"])
    publisher = TopicPublisher(registry(serializer), backend)
    publish = lambda name, value: publisher.publish(name, value, **options)
    return messages(backend, "order-events", "subscribed", publish, values)


def pickled(make):
    result = make(PickleSerializer, {"pickled object": Payment()})
    return [{**message, "value": None} for message in result]


FORMS = {
    "sqs-queue": lambda: to_queue(JsonSerializer, VALUES),
    "sqs-fifo": lambda: to_queue(
        JsonSerializer,
        VALUES,
        queue="orders.fifo",
        message_group_id="customer-1",
    ),
    "sns-envelope": lambda: to_topic(JsonSerializer, VALUES),
    "sns-envelope-with-attributes": lambda: to_topic(
        JsonSerializer,
        {"object": VALUES["object"]},
        subject="a subject",
        message_attributes={
            "correlationId": {"DataType": "String", "StringValue": "c-1"},
        },
    ),
    "sqs-queue-own-serializer": lambda: to_queue(OrderSerializer, {"object": VALUES["object"]}),
    "sqs-queue-without-manifest": lambda: to_queue(UnnamedSerializer, {"object": VALUES["object"]}),
    "pickle-sqs-queue": lambda: pickled(to_queue),
    "pickle-sns-envelope": lambda: pickled(to_topic),
}


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    made_by = {package: version(package) for package in ("melange", "boto3", "moto")}
    # The ids that the library itself draws are random, as its users see them; here they are not.
    import uuid

    for form, make in FORMS.items():
        mock_random.seed(1)
        counter = iter(range(1, 10_000))
        uuid.uuid4 = lambda: uuid.UUID(int=next(counter))
        with mock_aws(), freeze_time("2026-01-01T00:00:00Z"):
            found = {"form": form, "madeBy": made_by, "messages": make()}
        text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
        (directory / f"{form}.json").write_text(text, encoding="utf-8")
        print(f"{form}: {len(found['messages'])} messages")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
