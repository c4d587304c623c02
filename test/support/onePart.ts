import type * as command from "@pulumi/command";
import type { Host } from "../../components/index.ts";
import type { Part, RemoteScriptArgs } from "../../components/remote/remoteScript.ts";
import { remoteScript } from "../../components/remote/remoteScript.ts";

/** A command on a host that applies only one part, for tests of that part. */
export function onePart(
  name: string,
  host: Host,
  part: Part,
  more: Partial<RemoteScriptArgs> = {},
): command.remote.Command {
  return remoteScript(name, { host, what: `the part ${part.script}`, parts: [part], ...more });
}
