/**
 * Lets several pairs of hosts work at the same time, without measuring one while another loads the CPU: whatever loads
 * it, such as the end of a fault, has its own interval. Times are seconds of one clock.
 */
export class Agenda {
  private readonly taken: { from: number; to: number }[] = [];

  /**
   * The earliest time from now at which something may begin that needs the interval from `after` to `after + length`
   * seconds later for itself; the interval is then reserved.
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
