import { scriptText } from "../../../components/remote/scriptText.ts";
import type { LabStack } from "../../../lab/stack.ts";
import { parseCommand } from "../../../tools/parseCommand.ts";

/** One script of a stack, with the library that it reads from the host's tools. */
export interface RemoteScript {
  /** The name of its resource. */
  name: string;
  /** The name of its host. */
  host: string;
  stdin: string;
  /** Its output: its result. */
  stdout: string;
  /** The names of the scripts that come before it. */
  after: string[];
}

interface Resource {
  urn: string;
  type: string;
  inputs?: { stdin?: string };
  outputs?: { stdout?: string };
  dependencies?: string[];
}

/** Leaves out what needs the other host: whether the tunnel and the logins work. */
export const onOneHost = (part: string): boolean => !["tunnelCheck", "loginCheck"].includes(part);

/** Every script of the stack, each after its dependencies; only the wanted parts of each. */
export async function remoteScripts(
  stack: LabStack,
  wanted: (part: string) => boolean = () => true,
): Promise<RemoteScript[]> {
  const { deployment } = (await stack.export()) as unknown as { deployment: { resources: Resource[] } };
  return deployment.resources
    .filter(({ type }) => type === "command:remote:Command")
    .map(({ urn, inputs, outputs, dependencies = [] }) => ({
      name: nameOf(urn),
      host: /^HOST='(\S+) /m.exec(inputs?.stdin ?? "")?.[1] ?? "",
      stdin: wholeText(inputs?.stdin ?? "", wanted),
      stdout: outputs?.stdout ?? "",
      after: dependencies.map(nameOf),
    }));
}

const nameOf = (urn: string) => urn.split("::").pop() ?? "";

function wholeText(stdin: string, wanted: (part: string) => boolean): string {
  const { common, parts } = parseCommand(stdin);
  const text = scriptText(
    common,
    parts.filter(({ script }) => wanted(script)),
  );
  // The tunnel may never come up.
  return wanted("tunnelCheck") ? text : text.replaceAll(/^(\s*SECONDS_TO_WAIT)='\d+'$/gm, "$1='1'");
}
