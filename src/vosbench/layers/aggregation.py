"""Soft aggregation: one logit per object becomes a distribution over background and objects."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SMALLEST = 1e-7  # probabilities are kept in [1e-7, 1 - 1e-7], so that their logits are finite
LIMIT = math.log((1 - SMALLEST) / SMALLEST)


def soft_aggregate(logits: Float[Tensor, "B N H W"], present: Bool[Tensor, "B N"]) -> Float[Tensor, "B N+1 H W"]:
    """Logits over background and objects from one logit z per object; softmax of the result is the distribution.

    ``p_o = sigmoid(z_o)`` (0 for an absent object), ``p_0 = prod_o (1 - p_o)``, all clamped to [1e-7, 1 - 1e-7], and
    ``logit_c = log(p_c / (1 - p_c))``. Worked out in the logarithm, where ``logit_o`` is ``z_o`` itself and nothing is lost
    near 0 and 1; always in float32. Source: STM, soft aggregation; STMA, section 3.9 of our specification.
    """
    with torch.autocast(logits.device.type, enabled=False):
        chosen = present[:, :, None, None]
        objects = logits.float().clamp(-LIMIT, LIMIT)
        log_nobody = torch.where(chosen, torch.nn.functional.logsigmoid(-objects), 0.0).sum(1, keepdim=True)
        log_nobody = log_nobody.clamp(math.log(SMALLEST), math.log1p(-SMALLEST))
        background = log_nobody - torch.log(-torch.expm1(log_nobody))
        return torch.cat([background, torch.where(chosen, objects, -LIMIT)], 1)


def logit(prob: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Inverse of the sigmoid with the same bounds as `soft_aggregate`, in float32."""
    return torch.logit(prob.float(), eps=SMALLEST)


def aggregate_prompts(
    prob: Float[Tensor, "B K H W"], planes: Float[Tensor, "B N H W"], given: Bool[Tensor, "B N"]
) -> Float[Tensor, "B K H W"]:
    """Given masks replace their channels and clear the others below them; then all are aggregated once more. Source: STCN.

    A clip to which nothing is given stays as it is.
    """
    if not given.shape[1]:
        return prob
    chosen = given[:, :, None, None]
    planes = planes * chosen
    covered = planes.amax(1, keepdim=True)
    objects = torch.where(chosen, planes, prob[:, 1:] * (1 - covered))
    merged = soft_aggregate(logit(objects), torch.ones_like(given)).softmax(1)
    return torch.where(given.any(1)[:, None, None, None], merged, prob)
