import type { Part } from "../../remote/remoteScript.ts";
import { assertValid } from "../../render/checks.ts";

/** Ends the sessions of an account whose key is refused from now on: sshd looks at a key only during a login. */
export function endSessions({ account }: { account: string }): Part {
  return { script: "endSessions", values: { ACCOUNT: assertValid("account", account) } };
}
