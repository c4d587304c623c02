import { requireTools } from "../../../lab/machine.ts";
import { ImageError } from "../../../lab/image.ts";
import { SUITES, type Suite, rootImage } from "../../../lab/root.ts";

/** Why hosts cannot have one of the releases of Debian here, by release; nothing of those that they can have. */
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
