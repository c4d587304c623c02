import * as pulumi from "@pulumi/pulumi";
import { assertValidInput } from "../../settings/assertValidInput.ts";
import { inputError } from "../../settings/inputError.ts";
import type { Part } from "../../remote/remoteScript.ts";
import { ownerId } from "../../remote/remoteScript.ts";
import { assertValid } from "../../render/checks.ts";
import { renderAuthorizedKeyLine } from "../../render/authorizedKeyLine.ts";

/** Arguments of {@link authorizedKey}. */
export interface AuthorizedKeyArgs {
  /** The name of the line, unique in the stack. Its comment contains the name, so the line can be found again. */
  name: string;
  /** The account to log in to. */
  account: pulumi.Input<string>;
  /** The public key that may log in. */
  publicKey: pulumi.Input<string>;
  /** Options of the line, for example `restrict`; sshd(8), AUTHORIZED_KEYS FILE FORMAT. */
  options: string[];
  /**
   * More options, which the key keeps until they are swept: a running tunnel may have to return to its earlier ports. A
   * port may be `@forward@`, for the port that {@link remotePorts} finds in the same visit.
   *
   * @default none
   */
  permits?: string[];
  /**
   * The authorized_keys file, if root owns it.
   * @default the first that sshd reads for the account (`sshd -T`, AuthorizedKeysFile)
   */
  file?: string;
  /**
   * The other stack whose program the key runs. It is an error if the host does not have that.
   *
   * @default none
   */
  managedBy?: string | undefined;
  /**
   * For a login through a tunnel, where it arrives on this host: the target of its forward. The addresses of that replace
   * `@target@` in the options, and it is an error if sshd would refuse the login.
   *
   * @default any other login
   */
  target?: { host: string; port: number };
  /**
   * What the name began with if the same account was admitted to this one by another name. Such a line stays until it is
   * swept (`keepsStale: "renamed"`).
   *
   * @default none
   */
  otherNames?: string;
}

/** As rendered by `permitListen` and `permitOpen`. */
const permit = /^permit(listen|open)="[A-Za-z0-9.:*[\]@-]+"$/;

/**
 * One line in an account's authorized_keys. Everything else in the file stays the same byte for byte, even if its last
 * line has no newline.
 */
export function authorizedKey(args: AuthorizedKeyArgs): Part {
  const markerOf = (name: string) => `ssh-reverse-tunnel:${ownerId()}/${encodeURIComponent(name)}`;
  const marker = markerOf(args.name);
  const permits = args.permits ?? [];
  for (const each of permits) {
    if (!permit.test(each))
      throw inputError(`${JSON.stringify(each)} must be permitlisten or permitopen of one port`);
  }
  return {
    script: "authorizedKey",
    values: {
      ACCOUNT: assertValidInput("account", args.account),
      LINE: pulumi
        .output(args.publicKey)
        .apply((publicKey) => renderAuthorizedKeyLine(args.options, publicKey, marker)),
      MARKER: marker,
      PERMITS: permits.join("\n"),
      TARGET_HOST: args.target ? assertValid("plain", args.target.host) : "",
      TARGET_PORT: args.target ? String(assertValid("number", args.target.port)) : "",
      ...(args.otherNames === undefined ? {} : { OTHER_NAMES: markerOf(args.otherNames) }),
      FILE: args.file === undefined ? "" : assertValidInput("path", args.file),
      ...(args.managedBy === undefined ? {} : { MANAGED_BY: args.managedBy }),
    },
  };
}
