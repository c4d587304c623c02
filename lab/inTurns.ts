/**
 * Runs an action on many items, a few at a time, and returns the results in order. If one fails, the others still
 * finish; then its error is thrown.
 */
export async function inTurns<T, R>(
  all: readonly T[],
  atOnce: number,
  action: (one: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const waiting = [...all.entries()];
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [index, one] = next;
      results[index] = await action(one);
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: atOnce }, work));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
  return results;
}
