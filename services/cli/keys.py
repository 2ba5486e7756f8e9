"""`salescycle keys`: make, list and revoke API keys. Services read the file again within two seconds."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.cli import settings
from services.kernel import auth

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")


@app.command()
def create(
    scopes: Annotated[
        list[str],
        typer.Option(
            help=f"Comma-separated, given once or several times; or `all`. There are: {', '.join(auth.SCOPES)}."
        ),
    ],
    note: Annotated[str, typer.Option(help="What the key is for; shown by `list`.")] = "",
) -> None:
    """Make a key and print its token. It is shown this once: only a hash is kept."""
    wanted = [scope.strip() for part in scopes for scope in part.split(",") if scope.strip()]
    if not wanted:
        raise typer.BadParameter("name at least one scope", param_hint="--scopes")
    print(auth.create_key(settings.load().keys_path, auth.SCOPES if "all" in wanted else wanted, note))


@app.command("list")
def list_keys(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")] = False,
) -> None:
    """Show every key: its id, scopes, age and state; never a secret."""
    path = settings.load().keys_path
    keys = auth.read_keys(path).keys if path.exists() else ()
    if as_json:
        rows = [
            {
                "id": key.id, "scopes": key.scopes, "note": key.note, "created_at": key.created_at.isoformat(),
                "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
            }
            for key in keys
        ]  # fmt: skip
        print(json.dumps(rows, indent=2))
        return
    table = Table("id", "scopes", "note", "created", "state", title=str(path), title_justify="left")
    for key in keys:
        state = f"revoked {key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else "good"
        table.add_row(key.id, " ".join(key.scopes), key.note, f"{key.created_at:%Y-%m-%d %H:%M}", state)
    Console().print(table)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The id of the key: the part between `sc_` and the next `_`.")],
) -> None:
    """Refuse this key from now on, everywhere."""
    key = auth.revoke_key(settings.load().keys_path, key_id)
    print(f"{key.id} is revoked")
