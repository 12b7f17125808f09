/**
 * Papers of the catalogue that no experiment here measures: what each claims, as its own words or tables have it, and
 * why it is not here, with what of it exists. A paper that gets a stored result leaves this table: a test holds that.
 */

export interface Unmeasured {
  readonly claim: string;
  /** Why nothing is measured, and which of its parts are here. */
  readonly reason: string;
}

export const unmeasured: Readonly<Record<string, Unmeasured>> = {
  'gqir': {
    claim: 'Bursts of one-bit single-photon frames become better-looking images than with classical or learned reconstruction, in colour and with moving objects.',
    reason: 'Its prior is Stable Diffusion 2.1, tuned on an 83 GB set of real captures with an optical-flow network beside it: none can be had here. Of the photon sensor, which is a few lines, and of the networks nothing is built.',
  },
  'worldbench': {
    claim: 'Every video world model that was tested breaks physics: permanence, support, perspective and motion fail by patterns of their own, in 425 settings.',
    reason: 'A benchmark of video models, none of which fits: its own scenes come from a renderer and its masks from SAM 2. Its measures (overlap of masks, fitted gravity and friction) would need a small video model here, which does not exist yet.',
  },
  'framediffuser': {
    claim: 'A renderer that sees depth, normals and materials and its own last frame stays stable over hundreds to thousands of frames when it is trained on its own outputs.',
    reason: 'Stable Diffusion 1.5 with a ControlNet, tuned for 80,000 steps on scenes of a game engine. Low-rank adapters and samplers are here; a conditional image network with something to render is not.',
  },
  'gen-vire': {
    claim: 'Video models look good and reason poorly, in 24 tasks over six kinds of thought.',
    reason: 'Large video models, judged by a large vision-language model; the authors’ repository held no items when it was read. Nothing of it is a method that could run here.',
  },
  'qml-bde': {
    claim: 'Regressors on six simulated qubits match support vectors, forests and small networks on bond dissociation energies, without beating them.',
    reason: 'The energies of BDE-db cannot be had here, and made-up chemistry would prove nothing; the paper has no low-bit numbers. There is no simulator of circuits here.',
  },
  's-qubed': {
    claim: 'What a video model is unsure of splits into vagueness of the prompt and lack of knowledge, by generating several videos for several readings of it; the sum falls where accuracy rises.',
    reason: 'It needs a text-to-video model and a language model that rewrites prompts; no code could be had. Neither its entropies on a sphere nor a small generator with hidden attributes is built yet.',
  },
  'compute-optimal-qat': {
    claim: 'The share of tokens that quantization-aware training should take grows with the budget, as exp(−6.73 / ln of tokens per parameter byte), and is not one tenth; letting the rate fall only once, while quantized, saves updates.',
    reason: 'From 757 runs up to 2.2 billion parameters. Training quantized from scratch runs here (fewbit reproduce quest-llm), so that the trend could be shown on byte models of a million weights; neither the runs nor a planner of the split exist yet.',
  },
  'fp4-training-design-space': {
    claim: 'Over thousands of ways to train in FP4, Hadamard rotations with a scale per tensor and stochastic rounding pay best, and UE5M3 is a good type for scales of blocks.',
    reason: 'FP4 blocks, types of scales, rotations and training are here; products whose gradients are rounded along both axes, and stochastic rounding in them, are not.',
  },
  'quantum-visual-fields': {
    claim: 'Images and shapes as fields of a small simulated circuit, whose amplitudes a network makes, are sharper than with an earlier quantum method and common coordinate networks.',
    reason: 'Quantum here means circuits: it has no low-bit numbers, its formulas are in no code, and most of its capacity is an ordinary network. There is no simulator of circuits here.',
  },
  'ifairy': {
    claim: 'A complex language model of 700 million weights in {±1, ±i} has a mean perplexity of 11.14 where its float twin has 10.08 and a ternary BitNet 11.51; products need additions alone.',
    reason: 'From 105 billion tokens of training. Ternary products by additions and training with straight-through gradients are here; complex layers, and the kernel of the four roots, are not built.',
  },
  'zsq-detection': {
    claim: 'Detectors trained at low bits on 2,000 synthesized images with boxes of their own: YOLOv5-s at W4A8 33.0 mAP, 28.1 with LSQ on as many real ones.',
    reason: 'Images from batch-normalization statistics and training of steps are here (zeroq, genie, lsq), and the judge of detectors. The loss of a detector with gradients to the image is not; COCO and YOLO weights do not come with the repository.',
  },
  'ptq4vm-matting': {
    claim: 'Video matting at 4 bits stays close to float with an eighth of the arithmetic; correcting means and deviations of layers takes up to 20 % of the error of earlier methods.',
    reason: 'Robust Video Matting and its clips are not at hand, and the paper is known here without code or full text. Block reconstruction and correction of means are here; recurrent networks over clips and the loss between frames are not.',
  },
  'sci-fi-efnet': {
    claim: 'An injector of its own for the last frame makes videos between two images more harmonious.',
    reason: 'An adapter of CogVideoX, a model of five billion weights, without low-bit content: nothing of it is built.',
  },
  'qvgen': {
    claim: 'Video diffusion models of 1.3 to 14 billion weights at W4A4 near float; at W3A3, 25.28 points more dynamic degree on VBench than the best before it.',
    reason: 'Trained on eight GPUs on top of models that do not fit. Branches of low rank, learned steps and distillation are here; a branch that is trained away, half of its rank at a time, is not.',
  },
  'asq': {
    claim: 'ResNet-34 on ImageNet at 4 bits gains 1.2 points over float, by steps that a small network sets for each input and levels that are powers of the square root of two.',
    reason: 'ImageNet training is out of reach and there is no code. LSQ, on which it builds, and codebooks of any levels are here; steps that follow the input, and that set of levels, are not.',
  },
  'in-2-4d': {
    claim: 'From two images of an object, moving three-dimensional Gaussians between them; shown by comparisons and a user study.',
    reason: 'It joins a video interpolator and a multi-view diffusion model, neither of which can be had, and had no code when it was read; it has no low-bit content.',
  },
  'queen': {
    claim: 'Moving scenes of Gaussians as quantized differences from frame to frame: 0.7 MB a frame, 32.1 dB in mean over six scenes, trained in 5 s and drawn at 350 frames a second.',
    reason: 'It needs a renderer of Gaussians with gradients and films from several cameras. Neither the renderer, nor its gate, nor its entropy coder is here.',
  },
  'embodied-gaussians': {
    claim: 'A simulation of particles that carry Gaussians, corrected by what three cameras see, follows real objects at 30 Hz.',
    reason: 'It needs cameras, a physics engine on a GPU and the renderer that queen needs too; it has no low-bit content of its own, and nothing of it is built.',
  },
  'quest-diffusion': {
    claim: 'Stable Diffusion at W4A4 gives readable images, the first to do so, by fine-tuning time embeddings and fragile layers alone.',
    reason: 'The paper has no figure that could be set beside ours. Learned rounding, formats by windows of time and a small diffusion transformer are here (fewbit reproduce fp4dit, vidit-q); fine-tuning of layers by their kind is not built.',
  },
  'qfx': {
    claim: 'Networks whose every number is fixed point, binary points learned, keep more accuracy at fewer bits than converted ones and need no multipliers on an FPGA.',
    reason: 'No code or table could be had. Integer networks with exact requantization are here (hawqv3); learned binary points, wrapping overflow and constants of few powers of two are not.',
  },
  'efficientdm': {
    claim: 'Latent diffusion on ImageNet at W4A4 loses 0.05 sFID, fine-tuned without data 16.2 times as fast as full training, with nothing left beside the integers.',
    reason: 'Learned steps, adapters, and points of the float model’s own trajectories are here. An adapter inside the rounding, which merges into the codes, and ranges that are learned for each denoising step, are not joined into a recipe.',
  },
  'cq-nir': {
    claim: 'Snapping coordinates to a grid of about 25,600 cells before they are encoded steadies surfaces that are learned from several views, at no cost.',
    reason: 'The quantizer is one line; what it is worth shows where surfaces are rendered from several views with gradients, which is not here.',
  },
  'eq-net': {
    claim: 'One ResNet-18 for all widths from 2 to 8 bits: 65.9 % at W2A2 where a network of its own has 67.6, 69.8 % with mixed widths, as much as float.',
    reason: 'Joint training of several widths in one network runs here (fewbit reproduce double-rounding). Its pull of weights towards even spread, its teachers from width to width and its predictor of accuracy are not built.',
  },
  'nirvana': {
    claim: 'Films as chains of small networks whose integer differences are sent: 37.70 dB on UVG where the best before had 37.36 at the same rate, written 12 and read 6 times as fast.',
    reason: 'A codec with an entropy coder and networks of sines, of which nothing is here but the training engine; no public code was found to follow.',
  },
  'epipolarnvs': {
    claim: 'A camera’s movement drawn as coloured lines guides a network to a new view better than as numbers or as one of several bins.',
    reason: 'Its only quantization is the one it replaces, of poses in bins. It needs a renderer of views and a network from image to image; no code or figure could be had, and nothing of it is built.',
  },
  'quantnas': {
    claim: 'Searching operations and bits of super-resolution networks together, with noise for rounding, takes 30 % less time and gives a better front of PSNR against bit operations.',
    reason: 'The search trains a network of all choices for 20 passes over DIV2K. Super-resolution networks can be quantized, given mixed widths and judged here; networks that hold choices are not built.',
  },
  'mcvd': {
    claim: 'One diffusion network predicts, generates and fills in video, by leaving out past or future frames while it learns; best of its time on the usual benchmarks.',
    reason: 'It is no method of quantization but the model that video methods quantize, trained for 1 to 12 days on up to four GPUs. Samplers and training are here; a small one has not been trained.',
  },
  'survey': {
    claim: 'Quantization for image classification sorts into clustering, scales, and training, each with its families of methods and their accuracies on CIFAR-10 and ImageNet.',
    reason: 'A survey has no claim of its own to measure. It is a list of what a toolkit must have: of it learned steps, codebooks, mixed widths, data-free calibration and integer-only networks are here; stochastic rounding and sums of binary bases are not.',
  },
  'mfqe2': {
    claim: 'Compressed video gains more from its best neighbouring frames than from the frame alone, with a network of 255,422 weights.',
    reason: 'The authors’ gains stand in a picture, and their weights and raw films are not at hand. Networks that stretch and warp frames by a flow are not tested here; their convolutions are quantized like any other.',
  },
  'farhi-neven-qnn': {
    claim: 'A circuit of rotations learns parity, majority and pairs of digits of 4 × 4 pixels in simulation.',
    reason: 'It claims no advantage and has no low-bit numbers. Its weights are the angles of a circuit, and there is no simulator of circuits here.',
  },
  'addendum-mmmcv': {
    claim: 'That biological vision follows relativistic quantum laws and predicts motion by a quantized energy of time.',
    reason: 'No method that could be implemented is described: no inputs, no update rule, no data, no experiment. Nothing was built, and a program of this name would be an invention.',
  },
  'world-model-quant': {
    claim: 'Of a latent world model that plans, the encoder bears few bits far less than the predictor; groups of weights steady rollouts, and at very few bits the planning loss no longer tells success.',
    reason: 'A study of DINO-WM on its tasks: weights and simulators are not at hand. The quantizers it compares are here (rtn, smooth, awq); a planner in the loop with a world to plan in is not.',
  },
  'qwha': {
    claim: 'Adapters with few values in a Walsh–Hadamard basis, started from the quantization error, beat low-rank and Fourier ones on language models at 2 to 4 bits.',
    reason: 'Hadamard transforms, second moments, GPTQ and low-rank adapters that start from the error (lq-lora) are here; adapters with few values in the Hadamard basis, and their training, are not.',
  },
  'mme-cof': {
    claim: 'Veo 3 and others keep short scenes coherent, and fail at long causes, strict geometry and abstract logic: not yet reasoners by themselves.',
    reason: 'Closed video models graded by a closed judge, on 59 items; no part of it is a computation that could be repeated here.',
  },
  'ifsq': {
    claim: 'A scaled sigmoid for the tanh of finite scalar quantization fills its levels nearly evenly, and about 4 bits a dimension balance discrete and continuous image models.',
    reason: 'It quantizes what an image autoencoder holds, not weights; none is trained here. The change is one line; how evenly levels fill depends on the spread of the values that an autoencoder learns, which takes one to measure.',
  },
};
