import { readFile } from "node:fs/promises";

/** The fields of proc_pid_stat(5) that come after the command's name, from the state on; one empty field if there is no such process. */
export async function statOf(pid: number): Promise<string[]> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  // The name, in parentheses, may contain spaces and parentheses.
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}
