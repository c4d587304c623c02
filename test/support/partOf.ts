import type { Host } from "../../components/index.ts";
import type { Part } from "../../components/remote/remoteScript.ts";
import type { RecordedPart } from "../../tools/mocks.ts";
import { record } from "../../tools/mocks.ts";
import { gate } from "./hosts.ts";
import { onePart } from "./onePart.ts";

/** A part as a host gets it: its script, and its values once they are known. */
export async function partOf(make: () => Part, host: Host = gate): Promise<RecordedPart> {
  const recording = await record(() => onePart("x", host, make()));
  return recording.command("x").parts[0]!;
}
