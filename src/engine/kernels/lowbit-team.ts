/** Matrix products of language models shared by the threads of a team. */
import { lowBitKernels, type LowBitKernels, type PackedForm, type ProductPlace, type RoundedPlace } from './lowbit.ts';
import { followTeam, leadTeam, otherWorks, type Membership, type OtherKernels, type Share, type Work, type Works } from './team.ts';

/** Kernels whose products are shared; `share` has all members do other work, `stop` ends the other ones. */
export type TeamKernels = LowBitKernels & { readonly share: Share; stop(): void };

/** How many threads share the products of a memory, the caller's own included, and what starts the others; `also` names kernels that members have besides. */
export interface Team { readonly members: number; start(memory: WebAssembly.Memory, board: number, members: number, also?: readonly OtherKernels[]): Promise<TeamKernels> }

/** Groups of panels below which waking others costs what they save: some 60 microseconds of work; measured on a decoder of 34 million weights. */
const worthSharing = 8192;

/** A form as a number, and back. */
const flagged = ({ bits, less, wide = false, fine, minima, halves }: PackedForm): number => bits | (less << 4) | (Number(fine) << 8) | (Number(minima) << 9) | (Number(halves) << 10) | (Number(wide) << 11);
const unflagged = (flags: number, table: number): PackedForm =>
  ({ bits: (flags & 15) as PackedForm['bits'], less: (flags >> 4) & 15, table, wide: (flags & 2048) !== 0, fine: (flags & 256) !== 0, minima: (flags & 512) !== 0, halves: (flags & 1024) !== 0 });

function lowBitWorks(own: LowBitKernels): Works {
  const work = (run: (share: ProductPlace, at: (index: number) => number, inputs: RoundedPlace) => void): Work => (word, first, last) => {
    const at = (index: number): number => word(index) >>> 0;
    run({ weights: at(0), groups: at(1), tokens: at(2), out: at(3), stride: at(4), first, last }, at, { at: at(7), bits: at(8) === 8 ? 8 : 16 });
  };
  return {
    product4: work((share, at, inputs) => own.product4(share, at(5), at(6), inputs)),
    product8: work((share, at, inputs) => own.product8(share, at(5), at(6), inputs)),
    product8Halves: work((share, at, inputs) => own.product8Halves(share, at(5), inputs)),
    productPacked: work((share, at, inputs) => own.productPacked(share, unflagged(at(9), at(10)), at(5), inputs)),
    productTrellis: work((share, at, inputs) => own.productTrellis(share, at(6), at(5), inputs)),
    productFloat: work((share, _, inputs) => own.productFloat(share, inputs.at)),
  };
}

/** Kernels whose products are shared with the other members; member 0 is the caller's thread. */
export async function teamKernels(membership: Omit<Membership, 'index'>): Promise<TeamKernels> {
  const { memory, build } = membership;
  const own = lowBitKernels(memory, build);
  const team = leadTeam(membership, { ...lowBitWorks(own), ...await otherWorks({ ...membership, index: 0 }) });
  const share = (name: string, p: ProductPlace, rest: readonly number[], alone: () => void): void => {
    if ((p.last - p.first) * p.groups * p.tokens < worthSharing) return alone();
    team.share(name, [p.weights, p.groups, p.tokens, p.out, p.stride, ...rest], p.first, p.last);
  };
  return {
    ...own, ...team,
    product4: (p, scales, mins, x) => share('product4', p, [scales, mins, x.at, x.bits], () => own.product4(p, scales, mins, x)),
    product8: (p, scales, mins, x) => share('product8', p, [scales, mins, x.at, x.bits], () => own.product8(p, scales, mins, x)),
    product8Halves: (p, scales, x) => share('product8Halves', p, [scales, 0, x.at, x.bits], () => own.product8Halves(p, scales, x)),
    productPacked: (p, form, sides, x) => share('productPacked', p, [sides, 0, x.at, x.bits, flagged(form), form.table], () => own.productPacked(p, form, sides, x)),
    productTrellis: (p, form, scales, x) => share('productTrellis', p, [scales, form, x.at, x.bits], () => own.productTrellis(p, form, scales, x)),
    productFloat: (p, x) => share('productFloat', p, [0, 0, x, 0], () => own.productFloat(p, x)),
  };
}

/** The life of another member. */
export async function joinTeam(membership: Membership, onReady: () => void): Promise<void> {
  const { memory, build, index } = membership;
  followTeam(membership, { ...lowBitWorks(lowBitKernels(memory, build, index)), ...await otherWorks(membership) }, onReady);
}
