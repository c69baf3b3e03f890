"""Has the PyPI package melange read what ours published, and says what it made of it.

    python check.py <directory>

Each message is sent as ours sends it, to a queue or a topic that the library itself declared; moto answers in this
process. The library's own dispatcher reads it, hands it to a consumer and acknowledges it.
"""

import json
import os
import sys
from pathlib import Path

os.environ.update(
    AWS_ACCESS_KEY_ID="none",
    AWS_SECRET_ACCESS_KEY="none",
    AWS_DEFAULT_REGION="us-east-1",
)

import boto3
from moto import mock_aws

from melange.backends.factory import MessagingBackendFactory
from melange.backends.sqs.sqs_backend import AWSBackend
from melange.consumers import Consumer
from melange.message_dispatcher import MessageDispatcher
from melange.serializers import JsonSerializer, SerializerRegistry


class OrderSerializer(JsonSerializer):
    """An application's own, as in the fixtures of the other direction."""

    @staticmethod
    def identifier() -> int:
        return 7


class Everything(Consumer):
    def __init__(self) -> None:
        self.values = []

    def process(self, message, **kwargs) -> None:
        self.values.append(message)

    def accepts(self, manifest) -> bool:
        return True


def dispatch(queue_name: str):
    """What the library's dispatcher makes of the one message in the queue, and whether it is gone then."""
    backend = AWSBackend(wait_time_seconds=0, visibility_timeout=0)
    registry = SerializerRegistry(
        {
            "serializers": {"json": JsonSerializer, "order": OrderSerializer},
            "serializer_bindings": {},
            "default": "json",
        }
    )
    dispatcher = MessageDispatcher(registry, backend=backend)
    consumer = Everything()
    dispatcher.attach_consumer(consumer)
    queue = backend.get_queue(queue_name)
    for message in backend.retrieve_messages(queue):
        dispatcher._dispatch_message(message)
    return consumer.values, len(backend.retrieve_messages(queue))


def send(form: str, request: dict):
    factory = MessagingBackendFactory(AWSBackend())
    queue_name = "orders.fifo" if form == "sqs-fifo" else "orders"
    if form.startswith("sqs"):
        queue = factory.init_queue(queue_name)
        boto3.client("sqs").send_message(QueueUrl=queue.unwrapped_obj.url, **request)
    else:
        factory.init_queue(queue_name, ["order-events"])
        topic = AWSBackend().declare_topic("order-events")
        boto3.client("sns").publish(TopicArn=topic.unwrapped_obj.arn, **request)
    return queue_name


def main(directory: Path) -> int:
    failures = 0
    for file in sorted(directory.glob("*.json")):
        found = json.loads(file.read_text(encoding="utf-8"))
        for message in found["messages"]:
            with mock_aws():
                values, left = dispatch(send(found["form"], message["request"]))
            same = values == [message["value"]] and left == 0
            failures += not same
            if not same:
                print(f"{found['form']}, {message['name']}: got {values!r}, {left} left in the queue")
        print(f"{found['form']}: {len(found['messages'])} messages read")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
