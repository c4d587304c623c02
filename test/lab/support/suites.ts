import { requireTools } from "../../../lab/machine.ts";
import { ImageError } from "../../../lab/image.ts";
import { SUITES, type Suite, rootImage } from "../../../lab/root.ts";

/** Why some Debian releases are not available to hosts here, by release; nothing for those that are. */
export async function missingSuites(suites: readonly Suite[] = SUITES): Promise<Map<Suite, string>> {
  const missing = new Map<Suite, string>();
  await requireTools(console.error);
  for (const suite of suites) {
    try {
      await rootImage(suite, console.error);
    } catch (error) {
      if (!(error instanceof ImageError)) throw error;
      missing.set(suite, error.message);
    }
  }
  return missing;
}
