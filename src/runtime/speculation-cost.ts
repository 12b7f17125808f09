/** When speculative decoding pays: times of passes and tokens per pass, in steps of the model alone (SpecMQuant, arXiv:2505.22179). */

export interface RoundCost {
  /** Mean tokens per pass of the model, the one that it adds itself among them: τ. */
  readonly acceptedLength: number;
  /** Passes of the draft per round. */
  readonly passes: number;
  /** Time of a pass of the draft, T_d / T_t. */
  readonly draft: number;
  /** Time of the pass over all guesses, T_v(n) / T_t. */
  readonly verify: number;
}

/** Time per token, in steps of the model alone: (d · T_d + T_v(n)) / (τ · T_t). */
export const timePerToken = ({ acceptedLength, passes, draft, verify }: RoundCost): number => (passes * draft + verify) / acceptedLength;

export const predictedSpeedUp = (cost: RoundCost): number => 1 / timePerToken(cost);

/** τ of a chain of `length` guesses, each right with the same chance: (1 − α^(γ+1)) / (1 − α). */
export const chainAcceptedLength = (chance: number, length: number): number => (chance === 1 ? length + 1 : (1 - chance ** (length + 1)) / (1 - chance));

/** The chance of a guess in a chain of `length` of which τ is known. */
export function chanceOf(acceptedLength: number, length: number): number {
  let [low, high] = [0, 1];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (chainAcceptedLength(middle, length) < acceptedLength) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
