/**
 * Lets several pairs of hosts work at the same time, and yet measures none while another loads the CPU: whatever does,
 * such as the end of a fault, has an interval of its own. Times are seconds of one clock.
 */
export class Agenda {
  private readonly taken: { from: number; to: number }[] = [];

  /**
   * When, from now on, something may begin that needs the interval from `after` to `after + length` seconds later for
   * itself; the interval is taken then.
   */
  public reserve(now: number, after: number, length: number): number {
    let begin = now;
    for (const { from, to } of this.taken.toSorted((a, b) => a.from - b.from)) {
      if (begin + after + length > from && begin + after < to) begin = to - after;
    }
    this.taken.push({ from: begin + after, to: begin + after + length });
    return begin;
  }
}
