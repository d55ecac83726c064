#!/usr/bin/env python3
"""A mail server for tests: takes mails by SMTP and keeps each as a file, with its envelope in front.

    server.py PORT DIRECTORY [--certificate FILE --key FILE] [--implicit] [--login USER:PASSWORD] [--refuse ADDRESS] [--greylist ADDRESS]

With a certificate it insists on STARTTLS, or speaks TLS from the first byte with --implicit. Runs until it is killed.
"""

import argparse
import asyncio
import itertools
import ssl
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult


class Keep:
    """Keeps mails; refuses one receiver for good, and another one the first time."""

    def __init__(self, directory, refused, greylisted):
        self.directory, self.refused, self.greylisted = Path(directory), refused, greylisted
        self.numbers = itertools.count(1)

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address == self.refused:
            return "550 5.1.1 no such mailbox"
        if address == self.greylisted:
            self.greylisted = None
            return "451 4.7.1 come again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        head = f"X-Envelope: {envelope.mail_from} {' '.join(envelope.rcpt_tos)} tls={session.ssl is not None}\r\n"
        path = self.directory / f"{next(self.numbers):04}.new"
        path.write_bytes(head.encode() + envelope.original_content)
        path.rename(path.with_suffix(".eml"))
        return "250 OK"


async def main(arguments):
    context = None
    if arguments.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.certificate, arguments.key)
    handler = Keep(arguments.directory, arguments.refuse, arguments.greylist)
    settings = {}
    if arguments.login:
        user, _, password = arguments.login.partition(":")
        expected = (user.encode(), password.encode())

        def authenticate(server, session, envelope, mechanism, data):
            return AuthResult(success=(data.login, data.password) == expected)

        settings = {"authenticator": authenticate, "auth_required": True, "auth_require_tls": context is not None and not arguments.implicit}
    starttls = context if context and not arguments.implicit else None

    def session():
        return SMTP(handler, tls_context=starttls, require_starttls=starttls is not None, hostname="localhost", **settings)

    implicit = context if arguments.implicit else None
    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", arguments.port, ssl=implicit)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("directory")
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--implicit", action="store_true")
    parser.add_argument("--login")
    parser.add_argument("--refuse")
    parser.add_argument("--greylist")
    asyncio.run(main(parser.parse_args()))
