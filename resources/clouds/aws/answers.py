"""How AWS answers are read: our lean readers inside botocore's own machinery.

botocore keeps the credentials, signing, endpoints and retries. Its parsers are replaced by these
because of two habits: a JSON body that was cut short reads as an empty answer, and an XML page
that is no AWS answer at all (a proxy's) reads as an empty list. Both would look like "nothing
there" to inventory. Here they become an error that botocore retries like a lost connection.
"""

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from botocore.model import Shape
from botocore.parsers import (
    EC2QueryParser,
    JSONParser,
    QueryParser,
    ResponseParser,
    ResponseParserError,
    ResponseParserFactory,
    RestXMLParser,
)

from resources.clouds.aws.facts import READERS, Unreadable, check, read

ROWS = "Rows"
HTTP_ERROR = 300
# One of the codes botocore's standard and adaptive modes retry.
BROKEN_OFF = "RequestTimeout"
# Parsed trees are the largest thing in memory (six times their page); two keep two cores busy.
_TREES = threading.BoundedSemaphore(2)

Response = Mapping[str, Any]
Answer = dict[str, Any]
Parse = Callable[[Response, Shape], Answer]


class AnswerParsers(ResponseParserFactory):
    """Chooses the parser for each protocol AWS speaks; registered on a botocore session.

    `lean` reads the large listings as inventory needs them; else every answer is read in full.
    """

    def __init__(self, *, lean: bool = True) -> None:
        super().__init__()
        self._lean = lean

    def create_parser(self, protocol_name: str) -> ResponseParser:
        """The strict parser for a protocol, or botocore's own for one we never speak."""
        chosen = _PARSERS.get(protocol_name)
        if chosen is _Ec2Answers and not self._lean:
            return _FullEc2Answers()
        return chosen() if chosen else super().create_parser(protocol_name)


class _Ec2Answers(EC2QueryParser):
    def parse(self, response: Response, shape: Shape) -> Answer:
        if response["status_code"] >= HTTP_ERROR:
            return _complaint(super().parse, response, shape)
        if response["context"]["operation_name"] in READERS:
            return _lean(response)
        return _checked(response) or _parsed(super().parse, response, shape)


class _FullEc2Answers(EC2QueryParser):
    def parse(self, response: Response, shape: Shape) -> Answer:
        if response["status_code"] >= HTTP_ERROR:
            return _complaint(super().parse, response, shape)
        return _checked(response) or _parsed(super().parse, response, shape)


class _RestXmlAnswers(RestXMLParser):
    def parse(self, response: Response, shape: Shape) -> Answer:
        if response["status_code"] >= HTTP_ERROR:
            return _complaint(super().parse, response, shape)
        return _checked(response) or _parsed(super().parse, response, shape)


class _QueryAnswers(QueryParser):
    def parse(self, response: Response, shape: Shape) -> Answer:
        if response["status_code"] >= HTTP_ERROR:
            return _complaint(super().parse, response, shape)
        return _checked(response) or _parsed(super().parse, response, shape)


class _JsonAnswers(JSONParser):
    def parse(self, response: Response, shape: Shape) -> Answer:
        if response["status_code"] >= HTTP_ERROR:
            return _complaint(super().parse, response, shape)
        try:
            answer = json.loads(response["body"])
        except ValueError as error:
            return _broken_off(str(error))
        if not isinstance(answer, dict):
            return _broken_off("the answer is not an object")
        # As it came: walking SSM's model through it costs more than sending the request.
        return answer | {"ResponseMetadata": {}}


_PARSERS: dict[str, type[ResponseParser]] = {
    "ec2": _Ec2Answers,
    "query": _QueryAnswers,
    "json": _JsonAnswers,
    "rest-xml": _RestXmlAnswers,
}


def _lean(response: Response) -> Answer:
    with _TREES:
        try:
            rows, token = read(response["context"]["operation_name"], response["body"])
        except Unreadable as error:
            return _broken_off(str(error))
    return {ROWS: rows, "NextToken": token, "ResponseMetadata": {}}


def _checked(response: Response) -> Answer | None:
    try:
        check(response["context"]["operation_name"], response["body"])
    except Unreadable as error:
        return _broken_off(str(error))
    return None


def _parsed(parse: Parse, response: Response, shape: Shape) -> Answer:
    try:
        return parse(response, shape)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        # What botocore's parsers stumble over when an answer has not the shape of its model.
        return _broken_off(str(error))


def _complaint(parse: Parse, response: Response, shape: Shape) -> Answer:
    try:
        return parse(response, shape)
    except (ResponseParserError, KeyError, ValueError, TypeError, AttributeError):
        # A proxy's page, or half a complaint: its status still says whether to ask again.
        status = response["status_code"]
        error = {"Code": str(status), "Message": "the error itself could not be read"}
        return {"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}}


def _broken_off(why: str) -> Answer:
    return {"Error": {"Code": BROKEN_OFF, "Message": why[:200]}, "ResponseMetadata": {}}
