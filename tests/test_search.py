"""Dataset search against brute force, and its cache under everything that can happen to it."""

import warnings

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import ConcatDataset, Subset

from course_utils import pictures, search
from course_utils.activations import box_by_gradient, receptive_fields
from course_utils.classifiers import Classifier

K = 5


def network(channels=6, seed=0):
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(4, channels, 3, padding=1), nn.Flatten(), nn.LazyLinear(3)]
    model = nn.Sequential(*layers).double().eval()
    model(gallery_of(1))
    return model


def gallery_of(count, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 8, 12, generator=generator, dtype=torch.float64)


def prepare(batch):
    return 2 * batch - 1


def run(model, gallery, k=K, layer=3, **options):
    return search.search(model, model[layer], gallery, prepare, k, progress=False, **options)


def all_maps(model, gallery, layer=3):
    with torch.no_grad():
        return model[: layer + 1](prepare(gallery))


def brute_force(costs, k):
    """The indices (C, k) of the lowest costs (N, C), found by sorting (cost, index) pairs."""
    ranked = [sorted((cost, i) for i, cost in enumerate(column)) for column in costs.T.tolist()]
    return torch.tensor([[i for _, i in row[:k]] for row in ranked])


def same(one, other):
    return all(
        torch.equal(getattr(getattr(one, order), name), getattr(getattr(other, order), name))
        for order in search.ORDERS
        for name in search.FIELDS
    )


class Interrupted(Exception):
    pass


class Breaking(ConcatDataset):
    """A gallery that fails when it is asked for one of its pictures, and counts the questions."""

    def __init__(self, parts, at):
        super().__init__(parts)
        self.at, self.asked = at, 0

    def __getitem__(self, index):
        self.asked += 1
        if index == self.at:
            raise Interrupted
        return super().__getitem__(index)


# ---------------------------------------------------------------------------- the ranking


@pytest.mark.parametrize(("count", "batch"), [(40, 16), (40, 7), (40, 64), (300, 16)])
def test_equals_brute_force(count, batch):
    model, gallery = network(), gallery_of(count)
    found = run(model, gallery, batch=batch)
    peaks = all_maps(model, gallery).amax((2, 3))
    sampled = [number * count // min(256, count) for number in range(min(256, count))]
    medians = peaks[sampled].median(0).values
    assert torch.allclose(found.medians, medians, atol=1e-12)
    costs = {"top": -peaks, "least": peaks, "middle": (peaks - medians).abs()}
    for order, cost in costs.items():
        ranking = getattr(found, order)
        expected = brute_force(cost, K)
        assert torch.equal(ranking.pictures, expected), order
        assert torch.allclose(ranking.values, peaks.T.gather(1, expected), atol=1e-12)
    assert found.count == count


def test_the_places_are_those_of_the_maxima():
    model, gallery = network(), gallery_of(30)
    found, maps = run(model, gallery), all_maps(model, gallery)
    assert maps.shape[2] != maps.shape[3]
    for ranking in (found.top, found.least, found.middle):
        for channel in range(6):
            for rank in range(K):
                row, column = ranking.place(channel, rank)
                chosen = maps[ranking.pictures[channel, rank], channel]
                assert chosen[row, column] == chosen.max()


def test_the_median_is_exact_for_small_galleries():
    model, gallery = network(), gallery_of(31)
    found = run(model, gallery)
    peaks = all_maps(model, gallery).amax((2, 3))
    assert torch.allclose(found.medians, peaks.sort(0).values[15], atol=1e-12)
    assert torch.allclose(found.middle.values[:, 0], found.medians, atol=1e-12)


def test_a_gallery_that_the_medians_take_whole_is_run_once():
    model, seen = network(), []
    model[3].register_forward_hook(lambda _layer, _inputs, maps: seen.append(len(maps)))
    for count, runs in ((40, 40), (256, 256), (300, 300 + 256)):
        seen.clear()
        run(model, gallery_of(count))
        assert sum(seen) == runs


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_of_equal_values_the_lower_index_comes_first(batch):
    gallery = gallery_of(4).repeat(6, 1, 1, 1)  # pictures i, i + 4, i + 8, ... are the same
    model = nn.Sequential(nn.Conv2d(3, 2, 1)).double()
    found = search.search(model, model[0], gallery, prepare, 24, progress=False, batch=batch)
    for ranking in (found.top, found.least, found.middle):
        for values, indices in zip(ranking.values.tolist(), ranking.pictures.tolist()):
            runs = [indices[start : start + 6] for start in range(0, 24, 6)]
            assert all(run == list(range(run[0], 24, 4)) and run[0] < 4 for run in runs)
            assert len(set(values)) == 4


def test_a_constant_layer_gives_the_gallerys_own_order():
    model = nn.Sequential(nn.Conv2d(3, 2, 1)).double()
    nn.init.zeros_(model[0].weight)
    found = search.search(model, model[0], gallery_of(50), prepare, 7, progress=False)
    for ranking in (found.top, found.least, found.middle):
        assert ranking.pictures.tolist() == [list(range(7))] * 2
        assert ranking.rows.sum() == ranking.columns.sum() == 0


def test_a_k_beyond_the_gallery_returns_all_of_it():
    model, gallery = network(), gallery_of(6)
    found = run(model, gallery, k=50)
    for ranking in (found.top, found.least, found.middle):
        assert ranking.values.shape == (6, 6)
        assert ranking.pictures.sort(dim=1).values.tolist() == [list(range(6))] * 6
    assert torch.equal(found.top.values, found.least.values.flip(1))


def test_galleries_may_hold_labels_or_be_lists():
    model, gallery = network(), gallery_of(20)
    pairs = [(picture, 3) for picture in gallery]
    assert same(run(model, gallery), run(model, pairs))
    assert same(run(model, gallery), run(model, list(gallery)))


def test_keeps_no_more_than_k(monkeypatch):
    """However long the gallery: the widest thing that is ever sorted is k + batch wide."""
    widths = []
    cost = search._State._cost

    def watched(self, order, values):
        widths.append(values.shape[1])
        return cost(self, order, values)

    monkeypatch.setattr(search._State, "_cost", watched)
    run(network(), gallery_of(200), batch=8)
    assert max(widths) == K + 8


def test_leaves_the_network_as_it_was():
    model = network()
    model.train()
    model[0].eval()
    run(model, gallery_of(20))
    assert model.training and not model[0].training
    assert not model[3]._forward_hooks
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    with pytest.raises(Interrupted):
        run(model, Breaking([gallery_of(20)], at=11))
    assert model.training and not model[3]._forward_hooks


def test_dropout_is_off_during_the_search():
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Dropout(0.5)).double().train()
    options = {"k": 3, "progress": False}
    one = search.search(model, model[1], gallery_of(9), prepare, **options)
    two = search.search(model, model[1], gallery_of(9), prepare, **options)
    assert same(one, two)


# ---------------------------------------------------------------------------- what can be wrong


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_picture_whose_maps_are_no_numbers_is_named(value):
    gallery = gallery_of(40)
    gallery[23, 0, 2, 3] = value
    with pytest.raises(ValueError, match=r"picture 23 hold NaN or infinity"):
        run(network(), gallery)


@pytest.mark.parametrize("k", [0, -1, 2.5, True, "9"])
def test_an_impossible_k_is_refused(k):
    with pytest.raises(ValueError, match="k="):
        run(network(), gallery_of(5), k=k)


@pytest.mark.parametrize("gallery", [[], torch.zeros(0, 3, 8, 12)])
def test_an_empty_gallery_is_refused(gallery):
    with pytest.raises(ValueError, match="no pictures"):
        run(network(), gallery)


@pytest.mark.parametrize("gallery", [iter([1]), (picture for picture in []), {1, 2}])
def test_a_gallery_has_a_length_and_places(gallery):
    with pytest.raises(ValueError, match=r"which a .* doesn't: pass list\(gallery\)"):
        run(network(), gallery)


class Broken(list):
    """A gallery whose picture 7 can't be read."""

    error: Exception = ValueError("it is truncated")

    def __getitem__(self, index):
        if index == 7:
            raise self.error
        return super().__getitem__(index)


@pytest.mark.parametrize("error", [ValueError("truncated\nhere"), OSError("truncated")])
def test_a_picture_that_can_not_be_read_is_named(error, monkeypatch):
    monkeypatch.setattr(Broken, "error", error)
    with pytest.raises(ValueError, match="^Picture 7 of the gallery: truncated$"):
        run(network(), Broken(gallery_of(10)))


def test_a_picture_that_can_not_be_prepared_is_named():
    gallery = gallery_of(10).float()
    gallery[7, 0, 0, 0] = 300
    classifier = Classifier("x", network().float(), ["a"], (0.0,) * 3, (1.0,) * 3, 8, {})
    with pytest.raises(ValueError, match="^Picture 7 of the gallery: A picture's values lie in"):
        search.search(
            classifier.model, classifier.model[3], gallery, classifier.preprocess, progress=False
        )


def test_layers_without_maps_are_refused():
    model = network()
    with pytest.raises(ValueError, match="before the flattening"):
        run(model, gallery_of(5), layer=5)
    with pytest.raises(ValueError, match="did not run"):
        search.search(model, nn.Conv2d(3, 2, 1), gallery_of(5), prepare, progress=False)
    with pytest.raises(ValueError, match="batch=0: a whole number from 1 on"):
        run(model, gallery_of(5), batch=0)


# ---------------------------------------------------------------------------- the cache


def test_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "SAMPLE", 45)
    model, gallery, cache = network(), gallery_of(90), tmp_path / "deep" / "cache"
    whole = run(model, gallery)
    with pytest.raises(Interrupted):
        # Every second picture is looked at for the medians first, so break only the second time.
        run(model, SecondTime([gallery], at=70), cache=cache, batch=8)
    counting = Breaking([gallery], at=None)
    assert same(run(model, counting, cache=cache, batch=8), whole)
    assert counting.asked == 90 - 64 + 3  # three for the preprocessing's mark
    counting = Breaking([gallery], at=None)
    assert same(run(model, counting, cache=cache, batch=8), whole)
    assert counting.asked == 3, "nothing was left to do"


class SecondTime(Breaking):
    """Breaks when it is asked for a picture the second time."""

    def __getitem__(self, index):
        if index == self.at and not hasattr(self, "once"):
            self.once = True
            return ConcatDataset.__getitem__(self, index)
        return super().__getitem__(index)


def test_saves_now_and_then_for_the_case_that_the_process_is_killed(tmp_path, monkeypatch):
    saved = []
    save = search._save

    def watched(file, state, marks):
        saved.append(state.done)
        save(file, state, marks)

    monkeypatch.setattr(search, "_save", watched)
    monkeypatch.setattr(search, "SAVE_EVERY", 20)
    run(network(), gallery_of(50), cache=tmp_path / "cache", batch=8)
    assert saved == [24, 48, 50]
    assert [file.name for file in tmp_path.iterdir()] == ["cache"], "nothing unfinished is left"


CHANGES = {
    "weights": lambda model, gallery: {"model": network(seed=5)},
    "layer": lambda model, gallery: {"layer": 0},
    "preprocessing": lambda model, gallery: {"preprocess": lambda batch: batch},
    "k": lambda model, gallery: {"k": K + 1},
    "gallery": lambda model, gallery: {"gallery": gallery[:-1]},
}


@pytest.mark.parametrize("what", CHANGES)
def test_says_what_made_the_cache_stale(what, tmp_path):
    model, gallery = network(), gallery_of(30)
    setting = {"model": model, "gallery": gallery, "layer": 3, "preprocess": prepare, "k": K}

    def find(model, gallery, layer, preprocess, k, cache=None):
        options = {"cache": cache, "progress": False}
        return search.search(model, model[layer], gallery, preprocess, k, **options)

    cache = tmp_path / "cache"
    find(**setting, cache=cache)
    changed = setting | CHANGES[what](model, gallery)
    with pytest.warns(search.StaleCache, match=f"stale: .*other {what}; searching anew"):
        again = find(**changed, cache=cache)
    assert same(again, find(**changed))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(find(**changed, cache=cache), again), "the new state has taken its place"


def test_one_changed_weight_is_enough(tmp_path):
    model, gallery = network(), gallery_of(10)
    run(model, gallery, cache=tmp_path / "cache")
    with torch.no_grad():
        model[0].weight[0, 0, 0, 0] += 1e-9
    with pytest.warns(search.StaleCache, match="other weights; searching anew"):
        run(model, gallery, cache=tmp_path / "cache")


def test_what_is_not_saved_with_a_network_counts_too(tmp_path):
    model, gallery = network(), gallery_of(10)
    model.register_buffer("scale", torch.ones(1), persistent=False)
    run(model, gallery, cache=tmp_path / "cache")
    model.scale *= 2
    with pytest.warns(search.StaleCache, match="other weights; searching anew"):
        run(model, gallery, cache=tmp_path / "cache")


def test_a_preprocessing_that_changes_some_pictures_only_is_another_one(tmp_path):
    def brighter(batch):
        return batch.where(batch.mean((1, 2, 3), keepdim=True) < threshold, 1 - batch)

    model, gallery, cache = network(), gallery_of(30), tmp_path / "cache"
    gallery[15:] /= 2
    threshold = 1.0
    search.search(model, model[3], gallery, brighter, cache=cache, progress=False)
    threshold = 0.4
    with pytest.warns(search.StaleCache, match="another preprocessing; searching anew"):
        search.search(model, model[3], gallery, brighter, cache=cache, progress=False)


def test_pictures_of_several_sizes_are_named():
    gallery = [torch.rand(3, 8, 12), torch.rand(3, 8, 12), torch.rand(3, 9, 12)]
    with pytest.raises(ValueError, match=r"Picture 2 of the gallery has the shape \(3, 9, 12\)"):
        run(network(), gallery)


def test_an_empty_cache_is_not_used(tmp_path):
    cache = tmp_path / "cache"
    cache.touch()
    model, gallery = network(), gallery_of(10)
    with pytest.warns(search.StaleCache, match="damaged"):
        assert same(run(model, gallery, cache=cache), run(model, gallery))


def weights_of_somebody(file):
    save_file({"other": torch.zeros(3)}, file, {"weights": "of somebody"})


@pytest.mark.parametrize(
    "make",
    [lambda file: file.write_bytes(b"no cache"), lambda file: file.write_bytes(b"\xff" * 9999),
     weights_of_somebody],
)  # fmt: skip
def test_a_file_that_is_no_cache_is_not_overwritten(make, tmp_path):
    file = tmp_path / "photo.jpg"
    make(file)
    before, gallery = file.read_bytes(), Breaking([gallery_of(10)], at=0)
    with pytest.raises(ValueError, match="photo.jpg is no cache of a search"):
        run(network(), gallery, cache=file)
    assert file.read_bytes() == before and gallery.asked == 0


@pytest.mark.parametrize("cache", ["", ".", 5, "a\0b", "long" * 100, ["cache"]])
def test_what_can_be_no_cache_is_refused_before_anything_is_searched(cache):
    gallery = Breaking([gallery_of(10)], at=0)
    with pytest.raises(ValueError, match="^cache=.*give the name of a file"):
        run(network(), gallery, cache=cache)
    assert gallery.asked == 0


def test_a_truncated_cache_is_not_used(tmp_path):
    cache, model, gallery = tmp_path / "cache", network(), gallery_of(10)
    run(model, gallery, cache=cache)
    cache.write_bytes(cache.read_bytes()[:-40])
    with pytest.warns(search.StaleCache, match="damaged"):
        run(model, gallery, cache=cache)


def test_a_cache_with_a_flipped_bit_is_not_used(tmp_path):
    cache, model, gallery = tmp_path / "cache", network(), gallery_of(10)
    found = run(model, gallery, cache=cache)
    content = cache.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    places = [*range(start, len(content), 501), content.index(b'"done":"10"') + 8]
    for place in places:  # among the values, and how many pictures were searched
        damaged = bytearray(content)
        damaged[place] ^= 1
        cache.write_bytes(damaged)
        with pytest.warns(search.StaleCache, match="damaged"):
            assert same(run(model, gallery, cache=cache), found)


def test_a_cache_without_its_sum_is_not_used(tmp_path):
    cache, model, gallery = tmp_path / "cache", network(), gallery_of(10)
    found = run(model, gallery, cache=cache)
    with safe_open(cache, "pt") as content:
        facts = {name: mark for name, mark in content.metadata().items() if name != "sum"}
    save_file(load_file(cache), cache, facts)
    with pytest.warns(search.StaleCache, match="of an older version"):
        assert same(run(model, gallery, cache=cache), found)


def test_only_what_can_be_recognized_can_be_cached(tmp_path):
    with pytest.raises(ValueError, match="Leave out cache"):
        run(network(), list(gallery_of(5)), cache=tmp_path / "cache")
    subset = Subset(ConcatDataset([gallery_of(9)]), [5, 1])
    run(network(), subset, cache=tmp_path / "cache")
    subset.indices = [1, 5]
    with pytest.warns(search.StaleCache, match="another gallery"):
        run(network(), subset, cache=tmp_path / "cache")


def test_a_layer_of_another_network_is_refused_before_anything_is_searched(tmp_path):
    with pytest.raises(ValueError, match="not part of this model"):
        search.search(
            network(),
            network()[3],
            gallery_of(5),
            prepare,
            cache=tmp_path / "cache",
            progress=False,
        )


def test_sets_of_the_course_are_recognized_by_their_sums(small_data, tmp_path):
    test = pictures.load_set("look_alikes", "test")
    model = nn.Sequential(nn.Conv2d(3, 2, 3)).eval()

    def find(gallery):
        options = {"cache": tmp_path / "cache", "progress": False}
        return search.search(model, model[0], gallery, prepare, 3, **options)

    first = find(test)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(find(test), first)
    with pytest.warns(search.StaleCache, match="another gallery"):
        find(ConcatDataset([test, pictures.load_set("look_alikes", "validation")]))


# ---------------------------------------------------------------------------- crops


def test_a_crop_holds_what_the_gradient_reaches():
    layers = {
        "conv1": nn.Conv2d(3, 4, 3, padding=1),
        "pool": nn.MaxPool2d(2),
        "conv2": nn.Conv2d(4, 5, 3, padding=1),
    }
    torch.manual_seed(0)
    model = nn.Sequential(*layers.values()).double().eval()
    field = receptive_fields(layers)["conv2"]
    x = torch.rand(40, 3, 20, 28, dtype=torch.float64)
    place = torch.arange(20 * 28.0).reshape(1, 20, 28).expand(3, -1, -1)
    for row, column in ((4, 6), (0, 0), (9, 13), (5, 13)):
        top, left, bottom, right = box_by_gradient(model, model[2], row, column, x)
        crop = search.receptive_crop(
            place, row, column, field.size, field.stride, field.start, fill=-1
        )
        assert crop.shape == (3, field.size, field.size)
        seen = place[:, top:bottom, left:right]
        assert torch.equal(crop[crop >= 0].reshape(3, -1), seen.reshape(3, -1))


def test_a_crop_is_placed_where_its_pixels_belong():
    picture = torch.rand(3, 10, 14)
    crop = search.receptive_crop(picture, 0, 3, size=5, stride=4, start=-2)
    assert torch.equal(crop[:, 2:, :4], picture[:, :3, 10:14])
    assert (crop[:, :2] == 1).all() and (crop[:, :, 4:] == 1).all()
    crop[:] = 0
    assert picture.sum() > 0, "a copy, not a view"


@pytest.mark.parametrize("place", [(9, 0), (0, 9)])
def test_a_unit_beyond_the_picture_is_refused(place):
    with pytest.raises(ValueError, match="sees nothing of a picture of 10 x 14"):
        search.receptive_crop(torch.rand(3, 10, 14), *place, size=5, stride=4, start=-2)


def test_impossible_crops_are_refused():
    with pytest.raises(ValueError, match="picture has the shape"):
        search.receptive_crop(torch.rand(1, 3, 10, 14), 0, 0, 5, 4, 0)
    with pytest.raises(ValueError, match="size=0"):
        search.receptive_crop(torch.rand(3, 10, 14), 0, 0, 0, 4, 0)
    with pytest.raises(ValueError, match="row=-1"):
        search.receptive_crop(torch.rand(3, 10, 14), -1, 0, 5, 4, 0)


@pytest.mark.parametrize(
    "preprocess, told",
    [
        (lambda x: x[:1], r"Of 8 pictures, preprocess makes \(1, 3, 8, 8\): it must return one"),
        (lambda x: torch.cat([x, x]), r"Of . pictures, preprocess makes \((2|16), 3, 8, 8\)"),
        (lambda x: x.mean(), r"Of . pictures, preprocess makes \(\)"),
        (lambda x: None, "what preprocess returns must be a tensor, not a NoneType"),
    ],
)
@pytest.mark.parametrize("cached", [False, True])
def test_preprocess_returns_one_x_for_each_picture(preprocess, told, cached, tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 2, 3))
    cache = tmp_path / "cache" if cached else None
    with pytest.raises(ValueError, match=told):
        gallery = torch.rand(8, 3, 8, 8)
        search.search(model, model[0], gallery, preprocess, 2, cache=cache, progress=False)
