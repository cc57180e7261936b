"""Renders the three data sets of the course with Mitsuba 3, a physically based renderer.

    noise     value noise for colours and shapes
    meshes    triangles with colours and part labels; tubes, prisms, leaf cards
    fields    meshes from signed distance fields (animals, hulls)
    sky       skies, suns and studio lights
    plants    trees, conifers, bushes, grass
    camera    the lens, and the way from radiance to an 8-bit picture
    renderer  everything that talks to Mitsuba: pictures, part masks, depth

    tank, balls, fruit, sea, savanna, pets      the objects
    tank_yard, look_alikes, portraits           the scenes

    python -m data.rendering tank_yard          renders; resumable; same seed, same picture

Lengths are metres, z points up, colours are linear RGB reflectances in [0, 1].
"""
