import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";

/** The full path of an executable on PATH, or undefined. */
export async function whichOnPath(name: string): Promise<string | undefined> {
  for (const directory of (process.env.PATH ?? "").split(delimiter)) {
    // An empty element of PATH means the working directory, where nobody installs Pulumi.
    if (directory !== "" && (await isExecutable(join(directory, name)))) return join(directory, name);
  }
  return undefined;
}

/** Whether this is an executable file. */
export async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
