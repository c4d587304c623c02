import { createHash } from "node:crypto";

/** A short hash, the same for the same text. */
export function fingerprintOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}
