"""What all contenders are told alike."""

import base64
import hashlib
import hmac
from dataclasses import dataclass

MAX_CLIENTS = 12000
MAX_PREPARED_STATEMENTS = 200               # of one server; PgBouncer's default, and ours


@dataclass
class Setup:
    """The user is `app`, the database and the pool are `bench`."""
    pool_size: int = 16
    reset: str = "none"                     # or discard_all
    auth: str = "trust"                     # or scram-sha-256
    mode: str = "session"                   # or transaction
    workers: int = 1                        # PgBouncer and the relay have one, whatever it says
    application_name: str = ""              # which tidepoold's servers log in with


def scram_secret(password, rounds):
    """As PostgreSQL stores it. Few rounds: those are the client's work, and with the usual 4,096 two CPUs would do little else."""
    salt = b"sixteen bytes of"
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    text = [base64.b64encode(part).decode() for part in (salt, stored, hmac.digest(salted, b"Server Key", "sha256"))]
    return f"SCRAM-SHA-256${rounds}:{text[0]}${text[1]}:{text[2]}"


SECRET = scram_secret("secret", 16)
